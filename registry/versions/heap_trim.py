"""Trimming: memory that a process has freed goes back to the system.

Knows one behaviour of glibc's ``malloc``: freed blocks that were large stay with the process, up to
64 MiB of them, for the next ones. A worker that has read a version's ids asks for no such block
again, and batches of all sizes leave its arenas fragmented. Where there is another ``malloc``,
nothing is done.
"""

from __future__ import annotations

import ctypes
import sys


def trim_memory() -> None:
    """Give back free memory. Takes milliseconds, without the interpreter's lock."""
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
