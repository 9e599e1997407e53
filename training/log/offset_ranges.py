"""Ranges of offsets: held, missing and lost ones.

Pure: knows intervals of one partition. Must not know Kafka, files or records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """Offsets ``[start, end)``."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many offsets there are."""
        return self.end - self.start


class Cut(NamedTuple):
    """The part `span` of the segment `segment`."""

    segment: Span
    span: Span


def cover(segments: Iterable[Span], wanted: Span) -> list[Cut]:
    """Return which part of which segment to read, so that each offset is read once.

    Offsets that no segment holds are left out. Overlapping segments agree on what they share.

    >>> [tuple(cut.span) for cut in cover([Span(0, 10), Span(0, 4), Span(8, 20)], Span(2, 15))]
    [(2, 10), (10, 15)]
    """
    cuts: list[Cut] = []
    position = wanted.start
    for segment in sorted(segments, key=lambda span: (span.start, -span.end)):
        start, end = max(position, segment.start), min(segment.end, wanted.end)
        if start < end:
            cuts.append(Cut(segment, Span(start, end)))
            position = end
    return cuts


def missing(segments: Iterable[Span], wanted: Span) -> list[Span]:
    """Return the parts of `wanted` that no segment holds, ascending.

    >>> missing([Span(0, 3), Span(5, 8)], Span(0, 10))
    [Span(start=3, end=5), Span(start=8, end=10)]
    """
    held = [cut.span for cut in cover(segments, wanted)]
    starts = [wanted.start, *(span.end for span in held)]
    ends = [*(span.start for span in held), wanted.end]
    return [Span(*gap) for gap in zip(starts, ends, strict=True) if gap[0] < gap[1]]


class RangePlan(NamedTuple):
    """What a snapshot of one partition consists of.

    Parameters
    ----------
    range
        All of it.
    unread
        What is to be read from Kafka, ascending.
    lost
        What neither Kafka nor a segment holds, ascending.
    """

    range: Span
    unread: list[Span]
    lost: list[Span]


def plan(segments: Sequence[Span], low: int, high: int) -> RangePlan:
    """Return how to get all of a partition.

    It begins where the segments begin, or where Kafka does if that is earlier. What went before is
    in no snapshot, and was in none.

    Parameters
    ----------
    segments
        The ranges that the segments hold.
    low, high
        Kafka has ``[low, high)``; no segment goes beyond that end.

    Examples
    --------
    >>> plan([Span(0, 10)], low=15, high=20).lost
    [Span(start=10, end=15)]
    """
    whole = Span(min([low, *(span.start for span in segments)]), high)
    gaps = missing(segments, whole)
    unread = [Span(max(gap.start, low), gap.end) for gap in gaps if gap.end > low]
    lost = [Span(gap.start, min(gap.end, low)) for gap in gaps if gap.start < low]
    return RangePlan(whole, unread, lost)
