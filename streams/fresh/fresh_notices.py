"""What an operator should know of fresh interactions that are late.

Pure: what was read and the time in, sentences out. Of those that are gone:
`streams.fresh.fresh_gaps`.
"""

from __future__ import annotations

from typing import Final

from registry.error_codes import NoticeCode
from streams.fresh.fresh_reading import Reading
from streams.watch.notices import Notice

STALLED_SECONDS: Final = 10.0
"""So long without progress, though there is something to read, is not a pause of a broker."""


class Standstill:
    """Remembers since when nothing has moved."""

    def __init__(self) -> None:
        self._position = -1
        self._moved_at: float | None = None

    def stalled_seconds(self, reading: Reading, trouble: str | None, now: float) -> float:
        """Return for how long nothing was read that waits to be; `now` by a monotonic clock."""
        position = reading.position
        waits = reading.behind > 0 or trouble is not None
        if self._moved_at is None or position != self._position or not waits:
            self._position, self._moved_at = position, now
        return now - self._moved_at


def stall_notice(
    topic: str, reading: Reading, trouble: str | None, seconds: float
) -> Notice | None:
    """Return that a worker no longer reads the interactions; None while it does.

    Parameters
    ----------
    topic
        The interaction topic.
    reading, trouble
        What was read, and why no more is.
    seconds
        For how long nothing was.
    """
    if seconds < STALLED_SECONDS:
        return None
    why = trouble or "Kafka sends none of them; an open transaction holds them back, or it is slow"
    return Notice(
        NoticeCode.FRESH_STALLED,
        f"{topic}: {reading.behind:,} interactions wait to be read, none was for {seconds:.0f} s: "
        f"{why}. Answers go on without what users did since",
    )
