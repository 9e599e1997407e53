"""Segments: the interaction log in columns, kept in the registry by offset range.

Knows a record's columns, the Parquet files that hold them, and where those lie. Must not know
Kafka or weights.

``snapshots/TOPIC/PARTITION/START-END.parquet`` holds the records of ``[START, END)``, offsets
ascending. A file is complete and never grows; two runs that write the same range write the same
rows, and the first one stays.

1. What is new is written as a segment of its own, at most `SEGMENT_RECORDS` offsets long.
2. A segment takes in those before it that are not longer than itself. So lengths at least double
   from one to the one before it, and there are few, however often and little is added.
3. What lies wholly within a new segment is deleted after it is there. Segments may overlap, by a
   crash or by two runs at once; :func:`training.ranges.cover` reads each offset once.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from registry.errors import ArtifactError, RecordError
from registry.ids import ItemId, UserId
from registry.objects import MissingObject, Objects
from registry.records import Interaction, decode
from training.ranges import Cut, Span, absorbed, cover

FOLDER: Final = "snapshots"

LARGEST_VALUE: Final = 1e6
"""Larger values are refused: one of them would drown all others and overflow the fit's float32."""

FUTURE_SECONDS: Final = 86_400.0
"""An event may be later than its record by this much, for clocks that disagree. More is a mistake,
such as milliseconds; as the newest time of all, it would put all others out of the window."""

LOST: Final = "lost"
"""The row of a range that was gone from Kafka before any segment held it, and that the operator
accepted as lost. It stands at the first offset; its ``value`` is how many there are."""

FORGOTTEN: Final = "forgotten"
"""Why a record teaches nothing whose user was forgotten later."""

SCHEMA: Final = pa.schema(
    [
        ("offset", pa.int64()),
        ("at", pa.float64()),  # the record's own time, seconds since the epoch
        ("user_int", pa.int64()),
        ("user_text", pa.string()),
        ("item_int", pa.int64()),
        ("item_text", pa.string()),
        ("event", pa.string()),
        ("value", pa.float64()),
        ("timestamp", pa.float64()),  # the event's time; null: the record's
        ("title", pa.string()),
        ("unusable", pa.string()),  # why the record teaches nothing; then `event` is null
    ]
)

READ_AGAIN: Final = 3
"""So often a range is listed again when a file of it has just been taken in by another run."""

_OF_THE_USER: Final = ("user_int", "user_text", "event", "value")
_OF_THE_ITEM: Final = ("item_int", "item_text")

_NAME: Final = re.compile(r"([0-9]{20})-([0-9]{20})\.parquet")
_decode: Final[Callable[[bytes | None], Interaction]] = msgspec.json.Decoder(  # type: ignore[assignment]
    Interaction
).decode
"""Called as it is, a fifth of the time of :func:`registry.records.decode`; None is a TypeError."""


def table_of(
    offsets: Sequence[int], times: Sequence[float], payloads: Sequence[bytes | None]
) -> pa.Table:
    """Return the rows of some records of one partition, in their order.

    A record that cannot be used is a row, too, without an event but with the reason: ``empty``,
    ``malformed`` or ``invalid`` (see :func:`registry.records.decode`), ``no_rating`` for a `rate`
    without a value, or ``out_of_range`` for a value beyond ±`LARGEST_VALUE`, an id beyond 64 bits,
    or a time that is later than the record's by more than `FUTURE_SECONDS`.

    Parameters
    ----------
    offsets, times, payloads
        Of each record: offset, its own time in seconds since the epoch, and its bytes.

    Returns
    -------
    (records,) rows of `SCHEMA`.

    Examples
    --------
    >>> watch = b'{"user_id": 1, "item_id": "a", "event": "watch"}'
    >>> rows = table_of([7, 8], [1.0, 2.0], [watch, watch])
    >>> rows["offset"].to_pylist(), rows["item_text"].to_pylist(), rows["unusable"].null_count
    ([7, 8], ['a', 'a'], 2)
    """
    try:  # nearly always all are sound, and their columns are looked at together
        table = _columns(offsets, times, list(map(_decode, payloads)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, OverflowError):
        table = None
    if table is not None and not _has_complaint(table):
        return table
    return pa.concat_tables(
        [SCHEMA.empty_table(), *map(_row_of, offsets, times, payloads)]
    ).combine_chunks()


def lost_rows(span: Span) -> pa.Table:
    """Return the one row that stands for a range that is lost for ever."""
    row = {"offset": span.start, "value": float(span.length), "unusable": LOST}
    return pa.Table.from_pylist([row], schema=SCHEMA)


def lost_spans(table: pa.Table) -> list[Span]:
    """Return the lost ranges that are among the rows.

    >>> lost_spans(lost_rows(Span(3, 10)))
    [Span(start=3, end=10)]
    """
    rows = table.filter(pc.equal(table["unusable"], LOST))
    starts, lengths = rows["offset"].to_pylist(), rows["value"].to_pylist()
    return [Span(at, at + int(length)) for at, length in zip(starts, lengths, strict=True)]


def _row_of(offset: int, at: float, payload: bytes | None) -> pa.Table:
    try:
        event = decode(Interaction, payload)
        _require_usable(event, at)
        return _columns([offset], [at], [event])
    except RecordError as error:
        return pa.Table.from_pylist(
            [{"offset": offset, "at": at, "unusable": error.code}], schema=SCHEMA
        )


def _columns(
    offsets: Sequence[int], times: Sequence[float], events: Sequence[Interaction]
) -> pa.Table:
    users, items = [one.user_id for one in events], [one.item_id for one in events]
    columns = [
        *(pa.array(offsets, pa.int64()), pa.array(times, pa.float64())),
        *(*_ids(users), *_ids(items)),
        pa.array([one.event for one in events], pa.string()),
        pa.array([one.value for one in events], pa.float64()),
        pa.array([one.timestamp for one in events], pa.float64()),
        pa.array([one.title for one in events], pa.string()),
        pa.nulls(len(events), pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _ids(ids: Sequence[UserId | ItemId | None]) -> tuple[pa.Array, pa.Array]:
    """Return the column of the integers, and that of the texts."""
    if str in set(map(type, ids)):
        numbers = [None if isinstance(one, str) else one for one in ids]
        texts = [one if isinstance(one, str) else None for one in ids]
        return pa.array(numbers, pa.int64()), pa.array(texts, pa.string())
    return pa.array(ids, pa.int64()), pa.nulls(len(ids), pa.string())


def _has_complaint(table: pa.Table) -> bool:
    unrated = pc.and_(pc.equal(table["event"], "rate"), pc.is_null(table["value"]))
    large = pc.greater(pc.abs(table["value"]), LARGEST_VALUE)
    late = pc.greater(table["timestamp"], pc.add(table["at"], FUTURE_SECONDS))
    return any(pc.any(one).as_py() for one in (unrated, large, late))


def _require_usable(event: Interaction, at: float) -> None:
    if event.value is None and event.event == "rate":
        raise RecordError("Interaction: a rate event needs a value, the rating", "no_rating")
    limits = {
        "value": (event.value, LARGEST_VALUE),
        "user_id": (event.user_id, 2**63 - 1),
        "item_id": (event.item_id, 2**63 - 1),
    }
    for name, (seen, largest) in limits.items():
        if isinstance(seen, int | float) and abs(seen) > largest:
            raise RecordError(
                f"Interaction: {name} {seen:g}, must be within ±{largest:g}", "out_of_range"
            )
    if event.timestamp is not None and event.timestamp > at + FUTURE_SECONDS:
        raise RecordError(
            f"Interaction: timestamp {event.timestamp:g}, its record is of {at:g}; seconds since "
            "the epoch are needed",
            "out_of_range",
        )


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
        return [Span(int(one[1]), int(one[2])) for one in found if one]

    def read(
        self, partition: int, wanted: Span, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[Cut, pa.Table]]:
        """Yield the rows of `wanted` that there are, one table a segment, offsets ascending.

        Parameters
        ----------
        partition
            Of the topic.
        wanted
            The offsets.
        columns
            Only these; ``offset`` must be among them. None: all.

        Raises
        ------
        ArtifactError
            If a file is unreadable or is none of ours.
        """
        attempts = 0
        while wanted.length:
            cuts = cover(self.held(partition), wanted)
            try:
                for cut in cuts:
                    table = self._table(partition, cut.segment, columns)
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
            tables = [self._table(partition, one) for one in before]
        except MissingObject:  # another run has just taken it in
            before, tables = [], []
        whole = Span(before[0].start, span.end) if before else span
        path, rows = self._path(partition, whole), pa.concat_tables([*tables, table])
        if not self._objects.create(path, _parquet(rows)):
            self._require_same(path, rows)
        for one in self.held(partition):
            if one != whole and whole.start <= one.start and one.end <= whole.end:
                self._objects.delete(self._path(partition, one))
        return whole

    def forget(self, partition: int, segment: Span, offsets: NDArray[np.int64]) -> None:
        """Wipe out who did what in the rows at `offsets`; the rows stay, so ranges stay complete.

        What an item's title is stays, too: it tells nothing of the user.
        """
        try:
            table = self._table(partition, segment)
        except MissingObject:
            return  # another run has just taken it in, and the next one wipes it there
        gone = pa.array(np.isin(table["offset"].to_numpy(), offsets))
        untitled = pc.and_(gone, pc.is_null(table["title"]))
        wiped = {name: pc.if_else(gone, None, table[name]) for name in _OF_THE_USER}
        wiped |= {name: pc.if_else(untitled, None, table[name]) for name in _OF_THE_ITEM}
        wiped["unusable"] = pc.if_else(gone, FORGOTTEN, table["unusable"])
        for name, column in wiped.items():
            place = table.schema.get_field_index(name)
            table = table.set_column(place, SCHEMA.field(name), column)
        self._objects.replace(self._path(partition, segment), _parquet(table))

    def _path(self, partition: int, span: Span) -> str:
        return f"{self._folder}/{partition}/{span.start:020d}-{span.end:020d}.parquet"

    def _table(self, partition: int, span: Span, columns: Sequence[str] | None = None) -> pa.Table:
        path = self._path(partition, span)
        source = io.BytesIO(self._objects.read(path))
        try:
            table = pq.read_table(source, columns=columns, use_threads=False)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise ArtifactError(f"{path}: no segment of interactions: {error}") from error
        wanted = SCHEMA if columns is None else pa.schema([SCHEMA.field(one) for one in columns])
        if not table.schema.equals(wanted):
            raise ArtifactError(f"{path}: columns {table.schema.names}, needed are {wanted.names}")
        return table

    def _require_same(self, path: str, rows: pa.Table) -> None:
        held = pq.read_table(io.BytesIO(self._objects.read(path)), columns=["offset", "at"])
        if not held.equals(rows.select(["offset", "at"])):
            raise ArtifactError(
                f"{path}: is there with other records than Kafka's; was the topic made again?"
            )


def _within(table: pa.Table, cut: Cut) -> pa.Table:
    if cut.segment == cut.span:
        return table
    bounds = np.searchsorted(table["offset"].to_numpy(), cut.span)
    return table.slice(int(bounds[0]), int(bounds[1] - bounds[0]))


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
