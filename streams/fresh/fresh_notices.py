"""What an operator should know of fresh interactions: late, missing, or not to be found.

Pure: what was read, the versions' ranges and the time in, sentences out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from registry.error_codes import NoticeCode
from streams.fresh.fresh_reading import Gap, Reading, gaps_of
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


def gap_notice(
    topic: str, reading: Reading, ends: Mapping[str, Mapping[int, int]], foreign: Iterable[str]
) -> Notice | None:
    """Return which versions miss interactions, and why; None if none does.

    Parameters
    ----------
    topic
        The interaction topic.
    reading
        What was read.
    ends
        By version: where its snapshot ends, by partition.
    foreign
        Versions that learned from another topic.
    """
    wrong = [
        f"{version} {_words(reading.gaps[number], number, known.get(number, 0))}"
        for version, known in sorted(ends.items())
        for number in sorted(gaps_of(reading, known))[:1]
    ]
    wrong += [f"{version} has learned from another topic" for version in foreign]
    if not wrong:
        return None
    return Notice(
        NoticeCode.FRESH_INCOMPLETE,
        f"{topic}: {'; '.join(wrong)}. What users did since its snapshot is not all known: train a "
        "new version, and keep interactions for ever (retention.ms=-1, no compaction)",
    )


def _words(gap: Gap, number: int, end: int) -> str:
    where = f"has learned partition {number} up to offset {end}"
    if gap.ended_at is not None and end > gap.ended_at:
        return f"{where}, but the log ends at {gap.ended_at}: it was made again, or is another one"
    return f"{where}, but the log begins at {gap.begins_at}: what was between is gone"
