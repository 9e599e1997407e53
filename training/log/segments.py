"""Segments: the interaction log in columns, kept in the registry by offset range.

Knows the Parquet files that hold a record's row, and where they are. Must not know Kafka, what the
rows say, or weights.

``snapshots/TOPIC/PARTITION/START-END.parquet`` holds the records of ``[START, END)``, offsets
ascending. A file is complete and never grows; two runs that write the same range write the same
rows, and the first one stays.

1. New records are written as a separate segment, at most `SEGMENT_RECORDS` offsets long.
2. A segment absorbs those before it that are not longer than itself. So each is at least twice as
  long as the next one, and there are few, even after many small additions.
3. Segments that lie wholly within a new one are deleted once it exists. Segments may overlap, after
  a crash or two runs at once; :func:`training.log.offset_ranges.cover` reads each offset once.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from registry.errors import ArtifactError
from registry.storage.objects import MissingObject, Objects
from training.log.offset_ranges import Cut, Span, cover
from training.log.rows import SCHEMA
from training.log.segment_merging import absorbed
from training.log.user_erasure import erase_users

FOLDER: Final = "snapshots"

ROWS_AT_ONCE: Final = 16_384
"""Rows that are decoded at once: 2 MB. With four times as many, reading takes twice the memory, and
no less time."""

_ENCODING: Final = {
    "offset": "DELTA_BINARY_PACKED",
    "at": "BYTE_STREAM_SPLIT",
    "timestamp": "BYTE_STREAM_SPLIT",
}
"""Of columns with hardly a value twice, for which Parquet's default, a dictionary, is no use: half
the file size, written in less than half the time."""

READ_AGAIN: Final = 3
"""So often a range is listed again when a file of it has just been taken in by another run."""

_NAME: Final = re.compile(r"([0-9]{20})-([0-9]{20})\.parquet")


class Segments:
    """The segments of one topic.

    Parameters
    ----------
    objects
        The registry's storage.
    topic
        The topic.
    """

    def __init__(self, objects: Objects, topic: str) -> None:
        self.place = f"{objects.url.rstrip('/')}/{FOLDER}/{topic}"
        self._objects = objects
        self._folder = f"{FOLDER}/{topic}"

    def held(self, partition: int) -> list[Span]:
        """Return the ranges that there are of `partition`, sorted; they may overlap.

        Raises
        ------
        ArtifactError
            If the storage cannot be read.
        """
        names = self._objects.names(f"{self._folder}/{partition}")
        found = (_NAME.fullmatch(name) for name in names)
        return [Span(int(match[1]), int(match[2])) for match in found if match]

    def read(
        self, partition: int, wanted: Span, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[Cut, pa.Table]]:
        """Yield the rows of `wanted` that there are, some at a time, offsets ascending.

        Parameters
        ----------
        partition
            Of the topic.
        wanted
            The offsets.
        columns
            Only these, ``offset`` among them, in the order of `SCHEMA`. None: all.

        Raises
        ------
        ArtifactError If a file is unreadable or is not a segment.
        """
        attempts = 0
        while wanted.length:
            cuts = cover(self.held(partition), wanted)
            try:
                for cut in cuts:
                    for table in self._tables(partition, cut.segment, columns):
                        yield cut, _within(table, cut)
                    wanted = Span(cut.span.end, wanted.end)
                return
            except MissingObject:  # another run has taken it in meanwhile: what holds it now?
                attempts += 1
                if attempts == READ_AGAIN:
                    raise

    def add(self, partition: int, span: Span, table: pa.Table) -> Span:
        """Write a segment, and take in small ones before it; return the range that is written.

        Raises
        ------
        ArtifactError
            If the range is there with other rows: then it is not the same topic any more.
        """
        before = absorbed(self.held(partition), span)
        try:
            tables = [self._table(partition, span) for span in before]
        except MissingObject:  # another run has just taken it in
            before, tables = [], []
        whole = Span(before[0].start, span.end) if before else span
        path, rows = self._path(partition, whole), pa.concat_tables([*tables, table])
        if not self._objects.create(path, _parquet(rows)):
            self._require_same(path, rows)
        for segment in self.held(partition):
            if segment != whole and whole.start <= segment.start and segment.end <= whole.end:
                self._objects.delete(self._path(partition, segment))
        return whole

    def forget(
        self, partition: int, segment: Span, offsets: NDArray[np.int64], met: NDArray[np.int64]
    ) -> None:
        """Wipe out who did what in the rows at `offsets`, and mark the `forget` events at `met`.

        The rows stay, so ranges stay complete. See `training.log.user_erasure`.
        """
        try:
            table = self._table(partition, segment)
        except MissingObject:
            return  # another run has just taken it in, and the next one wipes it there
        erased = erase_users(table, offsets, met)
        self._objects.replace(self._path(partition, segment), _parquet(erased))

    def _path(self, partition: int, span: Span) -> str:
        return f"{self._folder}/{partition}/{span.start:020d}-{span.end:020d}.parquet"

    def _table(self, partition: int, span: Span) -> pa.Table:
        return pa.concat_tables([SCHEMA.empty_table(), *self._tables(partition, span)])

    def _tables(
        self, partition: int, span: Span, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yield a segment's rows, `ROWS_AT_ONCE`: to decode all at once takes 90 MB more."""
        path = self._path(partition, span)
        source = io.BytesIO(self._objects.read(path))
        wanted = SCHEMA if columns is None else pa.schema(map(SCHEMA.field, columns))
        try:
            file = pq.ParquetFile(source)
            batches = file.iter_batches(ROWS_AT_ONCE, columns=wanted.names, use_threads=False)
            for batch in batches:
                if not batch.schema.equals(wanted):
                    raise ArtifactError(
                        f"{path}: columns {batch.schema.names}, needed are {wanted.names}"
                    )
                yield pa.Table.from_batches([batch])
        except (pa.ArrowException, OSError, KeyError) as error:
            raise ArtifactError(f"{path}: not a segment of interactions: {error}") from error

    def _require_same(self, path: str, rows: pa.Table) -> None:
        held = pq.read_table(io.BytesIO(self._objects.read(path)), columns=["offset", "at"])
        if not held.equals(rows.select(["offset", "at"])):
            raise ArtifactError(
                f"{path}: already exists and differs from Kafka's records; was the topic recreated?"
            )


def _within(table: pa.Table, cut: Cut) -> pa.Table:
    if cut.segment == cut.span:
        return table
    bounds = np.searchsorted(table["offset"].to_numpy(), cut.span)
    return table.slice(int(bounds[0]), int(bounds[1] - bounds[0]))


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=[name for name in SCHEMA.names if name not in _ENCODING],
        column_encoding=_ENCODING,
    )
    return sink.getvalue()
