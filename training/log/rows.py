"""Rows: the content of the interaction log, one row a record, in columns.

Knows a record's columns, and which records cannot be used, and why. Must not know Kafka, where the
rows are kept, or weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from registry.errors import RecordError
from registry.ids import ItemId, UserId
from registry.wire.codec import decode
from registry.wire.training_records.event_weights import FORGET
from registry.wire.training_records.interactions import (
    FUTURE_SECONDS,
    LARGEST_VALUE,
    Interaction,
    require_usable,
)
from training.log.offset_ranges import Span

LOST: Final = "lost"
"""The row of a range that was gone from Kafka before any segment held it, and that the operator
accepted as lost. It stands at the first offset; its ``value`` is how many there are."""

FORGOTTEN: Final = "forgotten"
"""Why a record is not used whose user was forgotten later."""

OPEN: Final = 0.0
"""The ``value`` of a `forget` from its reading on. A value of its own means nothing."""

MET: Final = 1.0
"""The same, once the `forget` has taken something back. Its user's rows are erased then, and no
other row would tell that he was there. (Releases before left the value as it was, mostly null.)"""

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
        ("unusable", pa.string()),  # why the record cannot be used; then `event` is null
    ]
)

_Told: Final = msgspec.defstruct(
    "Told",
    [
        (column.name, column.type)
        if column.required
        else (column.name, column.type, column.default)
        for column in msgspec.structs.fields(Interaction)
    ],
    kw_only=True,
    gc=False,
)

_decode = cast("Callable[[bytes | None], Interaction]", msgspec.json.Decoder(_Told).decode)
"""An `Interaction` that checks its fields, but not yet that an item is there: a sixth of the time
of :func:`registry.wire.codec.decode`. None is a TypeError."""


def table_of(
    offsets: Sequence[int], times: Sequence[float], payloads: Sequence[bytes | None]
) -> pa.Table:
    """Return the rows of some records of one partition, in their order.

    A record that cannot be used is a row, too, without an event but with the reason: ``empty``,
    ``malformed`` or ``invalid`` (see :func:`registry.wire.codec.decode`), ``no_rating`` for a
    `rate` without a value, or ``out_of_range`` for a value beyond ±`LARGEST_VALUE`, an id beyond 64
    bits, or a time that is later than the record's by more than `FUTURE_SECONDS`. Any kind of event
    is kept, whether it has a weight or not. Releases before kept three kinds only, and no more of
    the others than the reason ``unknown_event``.

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
    try:  # nearly always all are sound, and their columns are checked together
        table = _columns(offsets, times, list(map(_decode, payloads)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, OverflowError):
        table = None
    if table is not None and not _has_complaint(table):
        return _with_open_forgets(table)
    rows = pa.concat_tables([SCHEMA.empty_table(), *map(_row_of, offsets, times, payloads)])
    return _with_open_forgets(rows.combine_chunks())


def lost_rows(span: Span) -> pa.Table:
    """Return the one row that represents a lost range."""
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
        require_usable(event, at)
        return _columns([offset], [at], [event])
    except RecordError as error:
        return pa.Table.from_pylist(
            [{"offset": offset, "at": at, "unusable": error.code}], schema=SCHEMA
        )


def _columns(
    offsets: Sequence[int], times: Sequence[float], events: Sequence[Interaction]
) -> pa.Table:
    users, items = [event.user_id for event in events], [event.item_id for event in events]
    columns = [
        *(pa.array(offsets, pa.int64()), pa.array(times, pa.float64())),
        *(*_ids(users), *_ids(items)),
        pa.array([event.event for event in events], pa.string()),
        pa.array([event.value for event in events], pa.float64()),
        pa.array([event.timestamp for event in events], pa.float64()),
        pa.array([event.title for event in events], pa.string()),
        pa.nulls(len(events), pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def _with_open_forgets(table: pa.Table) -> pa.Table:
    forgets = pc.fill_null(pc.equal(table["event"], FORGET), False)
    if not pc.any(forgets).as_py():
        return table
    value = pc.if_else(forgets, OPEN, table["value"])
    return table.set_column(SCHEMA.get_field_index("value"), SCHEMA.field("value"), value)


def _ids(ids: Sequence[UserId | ItemId | None]) -> tuple[pa.Array, pa.Array]:
    """Return the column of the integers, and that of the texts."""
    if str in set(map(type, ids)):
        numbers = [None if isinstance(id_, str) else id_ for id_ in ids]
        texts = [id_ if isinstance(id_, str) else None for id_ in ids]
        return pa.array(numbers, pa.int64()), pa.array(texts, pa.string())
    return pa.array(ids, pa.int64()), pa.nulls(len(ids), pa.string())


def _has_complaint(table: pa.Table) -> bool:
    unrated = pc.and_(pc.equal(table["event"], "rate"), pc.is_null(table["value"]))
    large = pc.greater(pc.abs(table["value"]), LARGEST_VALUE)
    late = pc.greater(table["timestamp"], pc.add(table["at"], FUTURE_SECONDS))
    no_item = pc.and_(pc.is_null(table["item_int"]), pc.is_null(table["item_text"]))
    of_nothing = pc.and_(no_item, pc.not_equal(table["event"], FORGET))
    return any(pc.any(mask).as_py() for mask in (unrated, large, late, of_nothing))
