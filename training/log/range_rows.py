"""The rows of a snapshot's ranges, readable any number of times, and the segments they are in.

Knows segments; must not know Kafka, nor what the rows say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.log.offset_ranges import Span
from training.log.rows import lost_spans
from training.log.segments import Segments


class RangeRows:
    """The rows of some ranges, by partition and offset; remembers what it has passed last."""

    def __init__(self, segments: Segments, ranges: Mapping[int, Span]) -> None:
        self._segments, self._ranges = segments, ranges
        self.segments: list[tuple[int, Span]] = []
        self.lost: dict[str, list[tuple[int, int]]] = {}
        self.count = 0

    def read(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yield all rows, anew at each call."""
        self.segments, self.lost, self.count = [], {}, 0
        for partition, span in sorted(self._ranges.items()):
            for cut, table in self._segments.read(partition, span, columns):
                for gone in lost_spans(table) if "unusable" in columns else ():
                    self.lost.setdefault(str(partition), []).append((gone.start, gone.end))
                self.segments.append((partition, cut.segment))
                self.count += len(table)
                yield partition, table


def by_segment(
    segments: Sequence[tuple[int, Span]], offsets: Sequence[NDArray[np.int64]]
) -> dict[tuple[int, Span], NDArray[np.int64]]:
    """Return the offsets of each segment that has some, from those of each table."""
    found: dict[tuple[int, Span], list[NDArray[np.int64]]] = {}
    for segment, some in zip(segments, offsets, strict=True):
        if len(some):
            found.setdefault(segment, []).append(some)
    return {segment: np.concatenate(some) for segment, some in found.items()}
