"""The priority of a training child: what it computes with is what serving leaves.

An edge: knows the operating system. The worker lowers the child from outside, before it has
imported anything: its imports alone take two seconds of processor, and threads that a library
starts while it is imported (BLAS) would keep the priority that they began with.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

LEAST: Final = 19
"""The highest niceness. With it, Linux's idle class is meant as well: a thread of that class gives
way at once when another wakes up, where a nice one first ends its slice of a few milliseconds."""


def lower_priority(pid: int, niceness: int) -> None:
    """Lower the priority of a process, and of what it starts.

    Parameters
    ----------
    pid
        The process; nothing happens if it has ended.
    niceness
        0..19, added to this process's own; at 19 it goes to Linux's idle class, too. What a sandbox
        forbids is left out.
    """
    target = min(os.getpriority(os.PRIO_PROCESS, 0) + niceness, LEAST)
    for thread in _threads(pid):
        with suppress(ProcessLookupError):
            try:
                os.setpriority(os.PRIO_PROCESS, thread, target)
            except PermissionError as error:
                logger.warning(
                    "a training cannot be made nice, and competes with serving: %s", error
                )
            if niceness == LEAST and sys.platform == "linux":
                with suppress(PermissionError):  # a sandbox may forbid it; the niceness remains
                    os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))


def _threads(pid: int) -> Iterable[int]:
    """Return the threads of a process: Linux has a priority for each of them."""
    if sys.platform != "linux":
        return [pid]
    with suppress(FileNotFoundError):
        return [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    return []
