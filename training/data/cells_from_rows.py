"""From the log's rows to cells: the latest event of each user, item and kind, without forgotten
ones.

Pure: knows columns of events and ids; must not know Kafka, files, weights or the evaluation.

The rows are read twice, in parts, so only the result is ever held in memory as a whole:

1. *Census*: each id once, the maximum number of events of each user, and what to forget.
2. *Placing*: each event goes to its user's section, in the order of the rows.
3. *Settling*, some users at a time: only the latest event of each item and kind stays, in the same
  arrays, which are shorter afterwards.

Ids are sorted, integers before strings, and events by time, then partition, then offset. So the
same set of events gives the same bytes, however they are split into tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from registry.error_codes import RecordCode
from registry.errors import ShapeError
from registry.latest_rows import (
    Offsets,
    begins,
    largest_of_each,
    ranges,
)
from registry.undo_events import TAKEN_BACK, latest_events, repeats_of
from registry.wire.training_records.data_report import DataReport
from registry.wire.training_records.event_weights import DEFAULT, FORGET, parse_event_weights
from training.data.beside_cells import OlderEvents, Titles, UndoneNotes
from training.data.distinct_ids import Census, Roll
from training.data.forgets_without_user import MetUsers
from training.data.forgetting import Forgets, time_of
from training.data.matrix import (
    ENTRIES_AT_ONCE,
    Cells,
    Rows,
    UndoneCells,
    blocks,
    starts_of,
)
from training.data.report_counts import ReportTally
from training.log.rows import FORGOTTEN

STANDARD_KINDS: Final = tuple(parse_event_weights(DEFAULT))
"""Kinds that have a weight unless the settings say otherwise."""

Tables: TypeAlias = Iterable[tuple[int, pa.Table]]
Read: TypeAlias = Callable[[Sequence[str]], Tables]
"""Returns (partition, rows) by partition, then by offset, with at least the columns asked for, of
:data:`training.log.rows.SCHEMA`. It is called twice, and must give the same rows."""

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
    newly_met
        Of each table, in their order: offsets of the `forget` events that took those back, and of
        which the rows do not say so yet.
    report
        What was counted on the way; without warnings.
    """

    cells: Cells
    interactions: int
    unusable: Counter[str]
    forgotten: list[Offsets]
    newly_met: list[Offsets]
    report: DataReport


def gather(
    read: Read, kinds: Sequence[str] = STANDARD_KINDS, undoes: Mapping[str, str] | None = None
) -> Gathered:
    """Return the cells of all events.

    Parameters
    ----------
    read
        Gives the rows, twice.
    kinds
        Events of these kinds count; others are ignored, and counted as `RecordCode.NO_WEIGHT`.
    undoes
        By kind of undo, the one of `kinds` that it takes back (:mod:`registry.undo_events`).

    Raises
    ------
    ShapeError
        If there are more than `MOST_IDS` users or items, or the second reading gives more rows.
    """
    users, items, forgets = Census(), Census(), Forgets()
    for partition, table in read(_CENSUS):
        users.add(table["user_int"], table["user_text"])
        items.add(table["item_int"], table["item_text"])
        forgets.note(partition, table)
    events = _Events(users.roll(), items.roll(), forgets, kinds, undoes or {})
    del users, items
    for partition, table in read(_EVENTS):
        events.add(partition, table)
    newly_met = events.count_forgets_without_user()
    cells, report = events.settled()
    return Gathered(
        cells, events.interactions, events.unusable, events.forgotten, newly_met, report
    )


class _Events:
    """All events in columns of 17 bytes each, by user, then in the order of the rows."""

    def __init__(
        self,
        users: Roll,
        items: Roll,
        forgets: Forgets,
        kinds: Sequence[str],
        undoes: Mapping[str, str],
    ) -> None:
        forgets.settle(users)
        self._users, self._items, self._forgets = users, items, forgets
        self._names = tuple(kinds)
        self._named = pa.array((*kinds, *undoes), pa.string())
        targets = [self._names.index(target) for target in undoes.values()]
        self._code = np.array([*range(len(kinds)), *targets, -1], np.int8)
        self._start = starts_of(users.named)
        self._end = self._start[:-1].copy()  # of each user: where the next event goes
        events = int(self._start[-1])
        self._item, self._kind = np.empty(events, np.int32), np.empty(events, np.int8)
        self._time, self._value = np.empty(events, np.float64), np.empty(events, np.float32)
        self._titles = Titles(len(items))
        self._newest = -np.inf
        self._kinds: set[int] = set()  # those that occur
        self._tally, self._met = ReportTally(len(items)), MetUsers(users)
        self.interactions = 0
        self.unusable: Counter[str] = Counter()
        self.forgotten: list[Offsets] = []

    def add(self, partition: int, table: pa.Table) -> None:
        """Add the events of one table."""
        offset = table["offset"].to_numpy()
        self._count_unusable(partition, table, offset)
        user = self._users.rows(table["user_int"], table["user_text"])
        item = self._items.rows(table["item_int"], table["item_text"])
        named = pc.fill_null(pc.index_in(table["event"], self._named), -1).to_numpy()
        kind, is_undo = self._code[named], named >= len(self._names)
        time = time_of(table)
        self._titles.take(item, time, table["title"])
        events = pc.fill_null(pc.not_equal(table["event"], FORGET), False).to_numpy()
        gone = events & self._forgets.take_back(partition, user, offset, time)
        self._met.add(partition, table, user, gone)
        self.forgotten.append(offset[gone].copy())  # not a view, which would hold Arrow's memory
        self._tally.count_kinds(table["event"].filter(pa.array(events & ~gone)))
        unweighted = events & ~gone & (kind < 0)
        for reason, dropped in ((FORGOTTEN, gone), (RecordCode.NO_WEIGHT, unweighted)):
            self._drop(reason, partition, offset[dropped])
        kept = np.flatnonzero((kind >= 0) & ~gone)
        self._tally.count_kept(table, kept, item[kept])
        self._newest = time[kept].max(initial=self._newest)
        self._kinds.update(np.unique(kind[kept]).tolist())
        self.interactions += len(kept)
        kept = kept[np.argsort(user[kept], kind="stable")]
        place = self._places(user[kept])
        self._item[place], self._kind[place] = item[kept], kind[kept]
        self._time[place] = time[kept]
        value = pc.fill_null(table["value"], 1.0).to_numpy()[kept]
        self._value[place] = np.where(is_undo[kept], TAKEN_BACK, value)

    def _count_unusable(self, partition: int, table: pa.Table, offset: Offsets) -> None:
        """Count the records that were found to be unusable when they were read."""
        unusable = table["unusable"]
        if unusable.null_count < len(unusable):
            for reason in pc.unique(unusable.drop_null()).to_pylist():
                there = pc.fill_null(pc.equal(unusable, reason), False).to_numpy()
                self._drop(reason, partition, offset[there])

    def count_forgets_without_user(self) -> list[Offsets]:
        """Count them, and return those of each table that have just met theirs."""
        for reason, partition, offsets in self._met.without_user():
            self._drop(reason, partition, offsets)
        return self._met.newly_met()

    def _drop(self, reason: str, partition: int, offsets: Offsets) -> None:
        if len(offsets):
            self.unusable[reason] += len(offsets)
            self._tally.count_dropped(reason, partition, offsets)

    def settled(self) -> tuple[Cells, DataReport]:
        """Return the cells and the report; the added events are released."""
        by_kind: dict[int, NDArray[np.float32]] = {}
        for kind in sorted(self._kinds):  # the first one's values take the events' place
            by_kind[kind] = np.empty(len(self._value), np.float32) if by_kind else self._value
        cells = np.empty(len(self._users), np.int64)
        end, older, undone = 0, OlderEvents(), UndoneNotes(len(self._users))
        for first, last in blocks(self._start, ENTRIES_AT_ONCE):
            cells[first:last] = found = self._settle(first, last, end, by_kind, older, undone)
            end += int(found.sum())
        columns: list[NDArray[Any]] = [self._item, self._time, *by_kind.values()]
        for column in columns:
            column.resize(end, refcheck=False)  # which gives the rest of its memory back
        del self._kind
        items = np.bincount(self._item, minlength=len(self._items)) > 0
        taken_back = undone.by_kind(items)
        users = (cells > 0) | undone.users
        if not items.all():
            self._item = (np.cumsum(items, dtype=np.int32) - np.int32(1))[self._item]
        made = Cells(
            user_ids=self._users.ids(users),
            item_ids=self._items.ids(items),
            titles=self._titles.of(items),
            indptr=starts_of(cells[users]),
            item=self._item,
            time=self._time,
            values={
                self._names[kind]: column
                for kind, column in by_kind.items()
                if kind not in undone.kinds or not np.isnan(column).all()
            },
            newest=float(self._newest) if self.interactions else 0.0,
            older={self._names[kind]: times for kind, times in older.by_kind()},
            forgotten=self._forgets.until(self._users),
            undone={
                self._names[kind]: UndoneCells(
                    (np.cumsum(users, dtype=np.int32) - np.int32(1))[of.user],
                    (np.cumsum(items, dtype=np.int32) - np.int32(1))[of.item],
                    of.time,
                )
                for kind, of in taken_back.items()
            },
        )
        per_user = self._end - self._start[:-1]
        return made, self._tally.report(made, per_user, self._users, self._items)

    def _places(self, user: Rows) -> Offsets:
        """Return where the events of these users, ascending, go; the next ones go behind them."""
        starts = np.flatnonzero(begins(user))
        many = np.diff(starts, append=len(user))
        found: Offsets = np.repeat(self._end[user[starts]] - starts, many) + np.arange(len(user))
        self._end[user[starts]] += many
        if (self._end[user[starts]] > self._start[user[starts] + 1]).any():
            raise ShapeError("the second pass found events that the first pass had not")
        return found

    def _settle(
        self,
        first: int,
        last: int,
        end: int,
        by_kind: dict[int, NDArray[np.float32]],
        older: OlderEvents,
        undone: UndoneNotes,
    ) -> Offsets:
        """Write the cells of the users ``first:last`` from `end` on; return how many each has.

        No event is overwritten that has not been read: there are no more cells than events.
        """
        start, events = self._start[first:last], self._end[first:last] - self._start[first:last]
        place = ranges(start, events)
        user = np.repeat(np.arange(last - first), events)
        key = (user * len(self._items) + self._item[place]) * len(self._names) + self._kind[place]
        latest = latest_events(key, self._time[place], self._value[place])
        self._tally.count_repeats(repeats_of(key, self._time[place], self._value[place], latest))
        gone = place[latest.undos]
        undone.note(
            user[latest.undos] + first, self._item[gone], self._kind[gone], self._time[gone]
        )
        place = place[latest.counting]
        pair, kind = np.divmod(key[latest.counting], len(self._names))
        first_of_pair = begins(pair)
        starts, cell = np.flatnonzero(first_of_pair), np.cumsum(first_of_pair) - 1 + end
        time, value = self._time[place], self._value[place]
        user, item = np.divmod(pair[starts], max(1, len(self._items)))
        written = slice(end, end + len(starts))
        self._item[written], self._time[written] = item, largest_of_each(time, starts)
        older.note(cell, kind, time, self._time[cell])
        for code, column in by_kind.items():
            column[written] = np.nan
            column[cell[kind == code]] = value[kind == code]
        return np.bincount(user, minlength=last - first)
