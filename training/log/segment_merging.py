"""Which segments become one: a new one absorbs those before it that are not longer than itself.

Pure: knows intervals of one partition. Must not know Kafka, files or records.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from training.log.offset_ranges import Span

SEGMENT_RECORDS: Final = 262_144
"""Longest segment, in offsets: 20 MB in memory while it is written, and 4,000 files for a billion
interactions."""


def absorbed(segments: Iterable[Span], new: Span) -> list[Span]:
    """Return the segments before `new` that are to become one with it, ascending.

    >>> absorbed([Span(0, 40), Span(40, 44), Span(44, 45)], Span(45, 47))
    [Span(start=44, end=45)]
    """
    taken: list[Span] = []
    whole = new
    for segment in sorted(segments, reverse=True):
        if segment.end != whole.start:
            continue
        if segment.length > whole.length or segment.length + whole.length > SEGMENT_RECORDS:
            break
        taken.insert(0, segment)
        whole = Span(segment.start, whole.end)
    return taken
