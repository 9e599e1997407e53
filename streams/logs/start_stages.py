"""The stages of a worker's start, from the start of its process to its first answer.

Knows how long each took. Must not know what is done in them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


class Stages:
    """Notes the end of each stage; `age_seconds` is how old the process is already.

    >>> stages = Stages(0.25, iter([10.0, 11.0]).__next__)
    >>> stages.end("imports")
    >>> str(stages)
    '1.25 s: imports 1.25'
    """

    def __init__(self, age_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started_at = self._ended_at = clock() - age_seconds
        self._seconds: dict[str, float] = {}

    def end(self, stage: str) -> None:
        """Note that `stage` has ended now, and that the next one begins."""
        now = self._clock()
        self._seconds[stage] = now - self._ended_at
        self._ended_at = now

    def __str__(self) -> str:
        parts = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in self._seconds.items())
        return f"{self._ended_at - self._started_at:.2f} s: {parts}"


def process_age_seconds() -> float:
    """Return the seconds since this process was started; 0 where the system does not say."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started)
    except (OSError, AttributeError):  # not Linux
        return 0.0
