"""The process's heap: one for all threads, and what is freed of it is returned to the system.

Knows two behaviours of glibc's ``malloc``. It gives each thread a heap ("arena") of its own, and
each fragments for itself: a worker with 28 threads grew by 12 MB an hour though nothing was left
behind. And freed blocks that were large stay with the process, up to 64 MiB of them, for the next
ones. Where there is another ``malloc``, nothing is done.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Final

M_ARENA_MAX: Final = -8
"""Of glibc's ``malloc.h``."""


def keep_one_arena() -> None:
    """Have all threads share one heap; the threads that already have one of their own keep it.

    They seldom wait for one another: Python has its own allocator for small objects, and glibc a
    cache a thread.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def trim_memory() -> None:
    """Give back free memory. Takes milliseconds, without the interpreter's lock."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
