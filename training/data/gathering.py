"""From the log's rows to cells: of each user, item and kind the latest event, without what is
forgotten.

Pure: knows columns of events and ids; must not know Kafka, files, weights or the evaluation.

The rows are read twice, some at a time, so that nothing but the result is ever whole in memory:

1. *Census*: each id once, how many events each user has at most, and what is to be forgotten.
2. *Placing*: each event goes to where its user's events lie, in the order of the rows.
3. *Settling*, some users at a time: of each item and kind the latest event stays, in the same
   arrays, which are shorter afterwards.

Ids are sorted, integers before strings, and events by time, then partition, then offset. So the
same set of events gives the same bytes, whatever tables they come in.

A `forget` takes back what its user did before it: every event with an earlier timestamp, and every
event that stands before it in its partition. So neither a producer with a wrong clock nor an old
file that is ingested again brings back what was forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from registry.errors import ShapeError
from training.data.census import Census, Roll
from training.data.matrix import (
    ENTRIES_AT_ONCE,
    KINDS,
    Cells,
    Floats,
    Mask,
    Rows,
    blocks,
    starts_of,
)
from training.data.mistyped_forgets import FORGET_OF_OTHER_TYPE, mistyped_forgets
from training.data.rows import FORGOTTEN

FORGET: Final = "forget"

Offsets: TypeAlias = NDArray[np.int64]
Tables: TypeAlias = Iterable[tuple[int, pa.Table]]
Read: TypeAlias = Callable[[Sequence[str]], Tables]
"""Returns (partition, rows) by partition, then by offset, with at least the columns asked for, of
:data:`training.data.rows.SCHEMA`. It is called twice, and must give the same rows."""

_IDS: Final = ("user_int", "user_text", "item_int", "item_text")
_CENSUS: Final = ("offset", *_IDS, "event", "timestamp", "at")
_EVENTS: Final = (*_CENSUS, "value", "title", "unusable")


class Gathered(NamedTuple):
    """What the tables held.

    Parameters
    ----------
    cells
        The cells.
    interactions
        How many events they come from.
    unusable
        Records that taught nothing, by reason; those of forgotten users among them.
    forgotten
        Of each table, in their order: offsets whose user was forgotten later.
    """

    cells: Cells
    interactions: int
    unusable: Counter[str]
    forgotten: list[Offsets]


def gather(read: Read) -> Gathered:
    """Return the cells of all events.

    Parameters
    ----------
    read
        Gives the rows, twice.

    Raises
    ------
    ShapeError
        If there are more than `MOST_IDS` users or items, or the second reading gives more rows.
    """
    users, items, forgets = Census(), Census(), _Forgets()
    for partition, table in read(_CENSUS):
        users.add(table["user_int"], table["user_text"])
        items.add(table["item_int"], table["item_text"])
        forgets.note(partition, table)
    events = _Events(users.roll(), items.roll(), forgets)
    del users, items
    for partition, table in read(_EVENTS):
        events.add(partition, table)
    if forgets.mistyped:
        events.unusable[FORGET_OF_OTHER_TYPE] += forgets.mistyped
    return Gathered(events.settled(), events.interactions, events.unusable, events.forgotten)


class _Forgets:
    """The `forget` events, and what each takes back."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, pa.Table]] = []
        self._until: Floats | None = None
        self._before: dict[int, Offsets] = {}
        self.mistyped = 0

    def note(self, partition: int, table: pa.Table) -> None:
        """Remember the table's `forget` events."""
        rows = table.filter(pc.equal(table["event"], FORGET))
        if len(rows):
            self._rows.append((partition, rows))

    def settle(self, users: Roll) -> None:
        """Find out until when, and in each partition before which offset, a user is forgotten."""
        for partition, rows in self._rows:
            if self._until is None:
                self._until = np.full(len(users), -np.inf)
            user = users.rows(rows["user_int"], rows["user_text"])
            before = self._before.setdefault(partition, np.full(len(users), -1))
            np.maximum.at(self._until, user, _time_of(rows))
            np.maximum.at(before, user, rows["offset"].to_numpy())
        self.mistyped = sum(len(offsets) for _, offsets in mistyped_forgets(self._rows, users))
        self._rows.clear()

    def take_back(self, partition: int, user: Rows, offset: Offsets, time: Floats) -> Mask:
        """Return (events,): which ones are forgotten."""
        if self._until is None:
            return np.zeros(len(user), np.bool_)
        gone: Mask = time < self._until[user]
        if partition in self._before:
            gone |= offset < self._before[partition][user]
        return gone


class _Titles:
    """The latest title of each item; between titles of the same time, the one further on counts.

    Also that of an event that was forgotten: what an item is called tells nothing of the user.
    """

    def __init__(self, items: int) -> None:
        self._at = np.full(items, -np.inf)
        self._title: dict[int, str] = {}

    def take(self, item: Rows, time: Floats, titles: pa.ChunkedArray) -> None:
        """Look at the titles of some rows; -1 stands for no item."""
        told = np.flatnonzero(pc.is_valid(titles).to_numpy() & (item >= 0))
        told = told[_latest(item[told].astype(np.int64), time[told])]
        told = told[time[told] >= self._at[item[told]]]
        self._at[item[told]] = time[told]
        found = titles.take(pa.array(told)).to_pylist()
        self._title.update(zip(item[told].tolist(), found, strict=True))

    def of(self, chosen: Mask) -> tuple[str | None, ...]:
        """Return the titles of the chosen items; None where none was told."""
        return tuple(self._title.get(row) for row in np.flatnonzero(chosen).tolist())


class _Events:
    """All events in columns of 17 bytes each, by user, then in the order of the rows."""

    def __init__(self, users: Roll, items: Roll, forgets: _Forgets) -> None:
        forgets.settle(users)
        self._users, self._items, self._forgets = users, items, forgets
        self._start = starts_of(users.named)
        self._end = self._start[:-1].copy()  # of each user: where the next event goes
        events = int(self._start[-1])
        self._item, self._kind = np.empty(events, np.int32), np.empty(events, np.int8)
        self._time, self._value = np.empty(events, np.float64), np.empty(events, np.float32)
        self._titles = _Titles(len(items))
        self._newest = -np.inf
        self._kinds: set[int] = set()
        self.interactions = 0
        self.unusable: Counter[str] = Counter()
        self.forgotten: list[Offsets] = []

    def add(self, partition: int, table: pa.Table) -> None:
        """Add the events of one table."""
        for one in pc.value_counts(table["unusable"].drop_null()).to_pylist():
            self.unusable[one["values"]] += one["counts"]
        user = self._users.rows(table["user_int"], table["user_text"])
        item = self._items.rows(table["item_int"], table["item_text"])
        kind = pc.fill_null(pc.index_in(table["event"], pa.array(KINDS)), -1).to_numpy()
        time, offset = _time_of(table), table["offset"].to_numpy()
        self._titles.take(item, time, table["title"])
        events = kind >= 0
        gone = events & self._forgets.take_back(partition, user, offset, time)
        self.forgotten.append(offset[gone].copy())  # not a view, which would hold Arrow's memory
        if gone.any():
            self.unusable[FORGOTTEN] += int(gone.sum())
        kept = np.flatnonzero(events & ~gone)
        self._newest = time[kept].max(initial=self._newest)
        self._kinds.update(np.unique(kind[kept]).tolist())
        self.interactions += len(kept)
        kept = kept[np.argsort(user[kept], kind="stable")]
        place = self._places(user[kept])
        self._item[place], self._kind[place] = item[kept], kind[kept]
        self._time[place] = time[kept]
        self._value[place] = pc.fill_null(table["value"], 1.0).to_numpy()[kept]

    def settled(self) -> Cells:
        """Return the cells; what was added is gone from here."""
        by_kind: dict[int, NDArray[np.float32]] = {}
        for kind in sorted(self._kinds):  # the first one's values take the events' place
            by_kind[kind] = np.empty(len(self._value), np.float32) if by_kind else self._value
        cells = np.empty(len(self._users), np.int64)
        end = 0
        for first, last in blocks(self._start, ENTRIES_AT_ONCE):
            cells[first:last] = found = self._settle(first, last, end, by_kind)
            end += int(found.sum())
        columns: list[NDArray[Any]] = [self._item, self._time, *by_kind.values()]
        for column in columns:
            column.resize(end, refcheck=False)  # which gives the rest of its memory back
        del self._kind
        users, items = cells > 0, np.bincount(self._item, minlength=len(self._items)) > 0
        if not items.all():
            self._item = (np.cumsum(items, dtype=np.int32) - np.int32(1))[self._item]
        return Cells(
            user_ids=self._users.ids(users),
            item_ids=self._items.ids(items),
            titles=self._titles.of(items),
            indptr=starts_of(cells[users]),
            item=self._item,
            time=self._time,
            values={KINDS[kind]: column for kind, column in by_kind.items()},
            newest=float(self._newest) if self.interactions else 0.0,
        )

    def _places(self, user: Rows) -> Offsets:
        """Return where the events of these users, ascending, go; the next ones go behind them."""
        starts = np.flatnonzero(_first(user))
        many = np.diff(starts, append=len(user))
        found: Offsets = np.repeat(self._end[user[starts]] - starts, many) + np.arange(len(user))
        self._end[user[starts]] += many
        if (self._end[user[starts]] > self._start[user[starts] + 1]).any():
            raise ShapeError("the second reading gave events that the first one had not")
        return found

    def _settle(
        self, first: int, last: int, end: int, by_kind: dict[int, NDArray[np.float32]]
    ) -> Offsets:
        """Write the cells of the users ``first:last`` from `end` on; return how many each has.

        No event is overwritten that has not been read: there are no more cells than events.
        """
        start, events = self._start[first:last], self._end[first:last] - self._start[first:last]
        place = _ranges(start, events)
        user = np.repeat(np.arange(last - first), events)
        key = (user * len(self._items) + self._item[place]) * len(KINDS) + self._kind[place]
        latest = _latest(key, self._time[place])
        place = place[latest]
        pair, kind = np.divmod(key[latest], len(KINDS))
        begins = _first(pair)
        starts, cell = np.flatnonzero(begins), np.cumsum(begins) - 1 + end
        time, value = self._time[place], self._value[place]
        user, item = np.divmod(pair[starts], max(1, len(self._items)))
        written = slice(end, end + len(starts))
        self._item[written], self._time[written] = item, _largest(time, starts)
        for one, column in by_kind.items():
            column[written] = np.nan
            column[cell[kind == one]] = value[kind == one]
        return np.bincount(user, minlength=last - first)


def _time_of(table: pa.Table) -> Floats:
    time: Floats = pc.coalesce(table["timestamp"], table["at"]).to_numpy()
    return time


def _ranges(starts: Offsets, lengths: Offsets) -> Offsets:
    """Return ``start, start + 1, …``, so many as `lengths` says, of each.

    >>> _ranges(np.array([3, 9]), np.array([2, 1])).tolist()
    [3, 4, 9]
    """
    before = np.cumsum(lengths) - lengths
    found: Offsets = np.repeat(starts - before, lengths) + np.arange(lengths.sum())
    return found


def _latest(key: NDArray[np.int64], time: Floats) -> NDArray[np.int64]:
    """Return, for each key in ascending order, where the latest of its rows is.

    >>> _latest(np.array([5, 3, 5, 5]), np.array([1.0, 0.0, 2.0, 2.0])).tolist()
    [1, 3]
    """
    order = np.argsort(key, kind="stable")
    first = _first(key[order])
    if first.all():
        return order
    several = ~(first & np.append(first[1:], True))  # rows whose key has others: seldom many
    latest, rows = order[first], order[several]
    starts = np.flatnonzero(first[several])
    times = time[rows]
    rows[times != _largest(times, starts)[np.cumsum(first[several]) - 1]] = -1
    latest[several[first]] = _largest(rows, starts)
    return latest


def _first(ordered: NDArray[np.integer]) -> Mask:
    """Return where a run of equal values begins."""
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def _largest(values: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[Any]:
    """Return the largest value of each run."""
    return np.maximum.reduceat(values, starts) if len(starts) else values[:0]
