"""The event log: what users did lately, in columns, for whoever reads while it is being written.

Pure: knows users, items and places in the interaction topic; must not know versions, Kafka or what
is made of the events. One thread writes (:class:`EventLog`), any number read (:class:`FrozenLog`).

Events are only ever appended, and each names its user's event before. A frozen log is therefore a
number: how many events there are. Its reader passes over those that came later, and no lock is
needed. What is to go (a partition that moved, events that every version has learned from) goes by
a new generation of columns; whoever reads the former one keeps it for that long.

An event takes 38 bytes; a user or an item takes about 110 more, once.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from registry.fresh.fresh_events import FreshEvent
from registry.ids import ItemId, UserId
from registry.wire.training_records.event_weights import FORGET

OFFSET_BITS: Final = 52
"""Of a place; the bits above are the partition. No log ever gets that long."""

MOST_KINDS: Final = 1 << 16
"""Kinds of events that are told apart: they are numbered in two bytes. A version knows 64 at most,
so only a topic of made-up kinds has more; the last number stands for all of those."""

ID_BYTES: Final = 110
"""What a user or an item takes beyond its events: a dictionary's entry, the id, a list's place."""

NOTHING: Final = -1
"""Instead of the number of an item, or of the event before."""

Mask = NDArray[np.bool_]


def place_of(partition: int, offset: int) -> int:
    """Return a record's place as one number, ordered by partition, then offset.

    >>> place_of(1, 7) - place_of(1, 5), place_of(2, 0) > place_of(1, 10**15)
    (2, True)
    """
    return partition << OFFSET_BITS | offset


class Numbers(dict[Any, int]):
    """Numbers for names, from 0 in the order in which they are asked for first.

    >>> numbers = Numbers()
    >>> [numbers[name] for name in ("a", 7, "7", "a")], numbers.names
    ([0, 1, 2, 0], ['a', 7, '7'])
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: list[Any] = []

    def __missing__(self, name: Any) -> int:
        number = self[name] = len(self.names)
        self.names.append(name)
        return number


class Columns:
    """One generation of the log. ``head`` has each user's latest event, the others one entry each.

    ``array`` and no NumPy: a reader takes single entries, in half the time, while they grow.
    """

    def __init__(self) -> None:
        self.users, self.items, self.kinds = Numbers(), Numbers(), Numbers()
        self.head = array("i")
        self.user, self.item, self.kind = array("i"), array("i"), array("H")
        self.value, self.time, self.place = array("d"), array("d"), array("q")
        self.previous = array("i")
        self.forgetters: set[int] = set()

    def append(
        self,
        users: Sequence[int],
        items: Sequence[int],
        kinds: Sequence[int],
        values: Sequence[float],
        times: Sequence[float],
        places: Sequence[int],
    ) -> None:
        """Append events, then make them their users' latest: a reader never meets half of one."""
        known = len(self.head)
        if known < len(self.users.names):
            self.head.extend([NOTHING] * (len(self.users.names) - known))
        number, head = len(self.user), self.head
        moved: dict[int, int] = {}
        previous = []
        for user in users:
            before = moved.get(user)
            previous.append(head[user] if before is None else before)
            moved[user] = number
            number += 1
        entries: tuple[Sequence[Any], ...] = (
            users, items, kinds, values, times, places, previous,
        )  # fmt: skip
        for column, added in zip(self._columns(), entries, strict=True):
            column.fromlist(list(added))
        for user, latest in moved.items():
            head[user] = latest

    @property
    def size_bytes(self) -> int:
        """What it takes, give or take a tenth."""
        columns = (self.head, *self._columns())
        ids = len(self.users.names) + len(self.items.names)
        return sum(len(column) * column.itemsize for column in columns) + ids * ID_BYTES

    def kept(self, keep: Mask) -> Columns:
        """Return a generation of those events alone for which `keep` (events,) is true."""
        fresh = Columns()
        fresh.items, fresh.kinds = self.items, self.kinds
        user, item, kind, value, time, place = (
            np.frombuffer(column, column.typecode)[keep] for column in self._columns()[:-1]
        )
        present, number = np.unique(user, return_inverse=True)
        fresh.users = Numbers()
        for old in present.tolist():
            fresh.users[self.users.names[old]]  # it is numbered by being asked for
        order = np.argsort(number, kind="stable")
        same = number[order][1:] == number[order][:-1]
        previous = np.full(len(user), NOTHING, np.int32)
        previous[order[1:][same]] = order[:-1][same]
        last = np.append(~same, True)[: len(order)]
        head = order[last].astype(np.int32)
        for column, entries in (
            (fresh.head, head),
            (fresh.user, number.astype(np.int32)),
            (fresh.item, item),
            (fresh.kind, kind),
            (fresh.value, value),
            (fresh.time, time),
            (fresh.place, place),
            (fresh.previous, previous),
        ):
            column.frombytes(np.ascontiguousarray(entries).tobytes())
        forget = self.kinds.get(FORGET)
        fresh.forgetters = set(np.unique(number[kind == forget]).tolist())
        return fresh

    def _columns(self) -> tuple[array[Any], ...]:
        return (
            self.user, self.item, self.kind, self.value, self.time, self.place, self.previous,
        )  # fmt: skip


class FrozenLog:
    """The log at one moment, for as long as somebody holds it.

    Parameters
    ----------
    columns, count
        Its first `count` events are here.
    starts, ends
        By partition: the offset from which on all is here, and the one after the last record that
        was read, whatever it held.
    """

    __slots__ = ("columns", "count", "ends", "starts")

    def __init__(
        self, columns: Columns, count: int, starts: Mapping[int, int], ends: Mapping[int, int]
    ) -> None:
        self.columns = columns
        self.count = count
        self.starts = starts
        self.ends = ends

    def number_of(self, user_id: UserId) -> int | None:
        """Return a user's number; None: nothing of him is here."""
        number = self.columns.users.get(user_id)
        return number if number is not None and number < len(self.columns.head) else None

    def indices(self, user: int) -> Iterator[int]:
        """Yield where a user's events are in the columns, the latest first."""
        columns, count = self.columns, self.count
        index, previous = columns.head[user], columns.previous
        while index >= count:
            index = previous[index]
        while index >= 0:
            yield index
            index = previous[index]

    def event_at(self, index: int) -> FreshEvent:
        """Return one event."""
        columns = self.columns
        item, place = columns.item[index], columns.place[index]
        return FreshEvent(
            None if item < 0 else columns.items.names[item],
            columns.kinds.names[columns.kind[index]],
            columns.value[index],
            columns.time[index],
            place & ((1 << OFFSET_BITS) - 1),
            place >> OFFSET_BITS,
        )


class EventLog:
    """The log, for the one thread that writes it.

    Examples
    --------
    >>> log = EventLog()
    >>> log.begin({0: 5})
    >>> log.take(0, [5], [7], ["a"], ["watch"], [1.0], [9.5], end=6)
    >>> frozen = log.frozen
    >>> [frozen.event_at(index).item_id for index in frozen.indices(frozen.number_of(7))]
    ['a']
    """

    def __init__(self) -> None:
        self._columns = Columns()
        self.frozen = FrozenLog(self._columns, 0, {}, {})

    @property
    def size_bytes(self) -> int:
        """What the events, users and items take."""
        return self._columns.size_bytes

    @property
    def users(self) -> int:
        """How many users there are."""
        return len(self._columns.users)

    def take(
        self,
        partition: int,
        offsets: Sequence[int],
        users: Sequence[UserId],
        items: Sequence[ItemId | None],
        kinds: Sequence[str],
        values: Sequence[float],
        times: Sequence[float],
        end: int,
    ) -> None:
        """Take in events of one partition, in the order of their offsets; show them at once.

        Parameters
        ----------
        partition
            One of those that were begun.
        offsets, users, items, kinds, values, times
            Of each event.
        end
            The offset up to which everything of the partition was read.
        """
        columns = self._columns
        if users:
            base = partition << OFFSET_BITS
            numbers = list(map(columns.users.__getitem__, users))
            number_of, kind_of = columns.items.__getitem__, columns.kinds.__getitem__
            kind_numbers = list(map(kind_of, kinds))
            forget = columns.kinds.get(FORGET)
            if forget is not None and forget in kind_numbers:
                columns.forgetters.update(
                    user for user, kind in zip(numbers, kind_numbers, strict=True) if kind == forget
                )
            columns.append(
                numbers,
                [NOTHING if item is None else number_of(item) for item in items],
                [min(number, MOST_KINDS - 1) for number in kind_numbers],
                values,
                times,
                [base | offset for offset in offsets],
            )
        self._freeze(self.frozen.starts, {**self.frozen.ends, partition: end})

    def pass_over(self, partition: int, end: int) -> None:
        """Note that a partition was read up to `end`, and held nothing more."""
        self._freeze(self.frozen.starts, {**self.frozen.ends, partition: end})

    def begin(self, starts: Mapping[int, int]) -> Mapping[int, int]:
        """Hold these partitions from these offsets on, and no others.

        What is here already stays, unless its partition is not wanted any more, or is wanted from
        an earlier offset: then it is to be read anew.

        Returns
        -------
        Mapping[int, int]
            By partition: the offset to read from.
        """
        before = self.frozen
        anew = {
            partition
            for partition, start in starts.items()
            if start < before.starts.get(partition, start) or partition not in before.ends
        } | {
            partition
            for partition, start in starts.items()
            if before.ends.get(partition, start) < start
        }
        ends = {
            partition: start if partition in anew else before.ends[partition]
            for partition, start in starts.items()
        }
        self._let_go({number for number in before.starts if number not in starts} | anew, starts)
        self._freeze(dict(starts), ends)
        return ends

    def _let_go(self, gone: set[int], starts: Mapping[int, int]) -> None:
        """Drop what is of `gone` partitions, and what is below the starts where that is much."""
        columns = self._columns
        if not len(columns.place):
            return
        place = np.frombuffer(columns.place, np.int64)
        keep = np.zeros(len(place), np.bool_)
        for partition, start in starts.items():
            if partition not in gone:
                keep |= (place >= place_of(partition, start)) & (place < place_of(partition + 1, 0))
        held = place >> OFFSET_BITS
        must = bool(gone) and bool(np.isin(held, list(gone)).any())
        del place  # a column that is looked at cannot grow
        if must or 4 * int(keep.sum()) < 3 * len(keep):
            self._columns = columns.kept(keep)

    def _freeze(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """Show what is here: whole, in one assignment."""
        self.frozen = FrozenLog(self._columns, len(self._columns.user), starts, ends)
