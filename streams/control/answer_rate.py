"""How many requests a second a worker answers: over the last ten seconds. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

RATE_SECONDS: Final = 10.0
"""Over which the rate of answers is taken. Shorter: one busy second decides whether a ramp has
traffic enough. Longer: traffic that has just begun or ended shows late."""


class AnswerRate:
    """The rate over the last `RATE_SECONDS`; 0 until two looks have been noted.

    >>> rate = AnswerRate()
    >>> rate.note(100, now=5.0)
    >>> rate.note(130, now=7.0)
    >>> rate.per_second
    15.0
    """

    def __init__(self) -> None:
        self._answered: deque[tuple[float, int]] = deque()
        self.per_second = 0.0

    def note(self, answered: int, now: float) -> None:
        """Take in how many requests have been answered since the start, `now` being monotonic."""
        while len(self._answered) > 1 and now - self._answered[1][0] >= RATE_SECONDS:
            self._answered.popleft()
        if self._answered:
            since, before = self._answered[0]
            self.per_second = (answered - before) / max(now - since, 1e-3)
        self._answered.append((now, answered))
