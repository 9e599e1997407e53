"""The columns of the event log: one generation, in which events are only ever appended.

Pure. Readers take single entries while the writer appends: the writer links an event as its user's
latest last, so no reader sees half of one. Must not know what is read of it, or when it may go.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.ids import ItemId, UserId
from registry.wire.training_records.event_weights import FORGET

OFFSET_BITS: Final = 52
"""Of a place; the bits above are the partition. No log ever gets that long."""

MOST_KINDS: Final = 1 << 16
"""Kinds of events that are told apart: they are numbered in two bytes. A version knows 64 at most,
so only a topic of nonsense has more; the last number stands for all of those."""

ID_BYTES: Final = 110
"""What a user or an item takes beyond its events: a dictionary's entry, the id, a list's place."""

NOTHING: Final = -1
"""Instead of the number of an item, or of the event before."""

Mask = NDArray[np.bool_]
Places = NDArray[np.int64]
Holds = Callable[[Places], Mask]
"""Tells which places stay."""

PACKED: Final = np.dtype([("item", "<i4"), ("kind", "<u2"), ("place", "<i8")])
"""What is left of an event that only hides its item: 14 bytes."""

_NOTHING_PACKED: Final = np.empty(0, PACKED)


def place_of(partition: int, offset: int) -> int:
    """Return a record's place as one number, ordered by partition, then offset.

    >>> place_of(1, 7) - place_of(1, 5), place_of(2, 0) > place_of(1, 10**15)
    (2, True)
    """
    return partition << OFFSET_BITS | offset


class EventBatch(NamedTuple):
    """Events of one partition in the order of their offsets, in columns, before any is numbered."""

    offsets: Sequence[int]
    users: Sequence[UserId]
    items: Sequence[ItemId | None]
    kinds: Sequence[str]
    values: Sequence[float]
    times: Sequence[float]


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

    ``packed`` has, by user, what is left of events whose other columns were given up for memory.

    ``array`` and no NumPy: a reader takes single entries, in half the time, while they grow.
    """

    def __init__(self) -> None:
        self.users, self.items, self.kinds = Numbers(), Numbers(), Numbers()
        self.kinds[FORGET]  # the first number: it is never one that kinds share
        self.head = array("i")
        self.user, self.item, self.kind = array("i"), array("i"), array("H")
        self.value, self.time, self.place = array("d"), array("d"), array("q")
        self.previous = array("i")
        self.forgetters: set[int] = set()
        self.packed: dict[int, bytes] = {}
        self._packed_bytes = 0

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
            column.fromlist(added if isinstance(added, list) else list(added))
        for user, latest in moved.items():
            head[user] = latest

    @property
    def size_bytes(self) -> int:
        """What it takes, give or take a tenth."""
        columns = (self.head, *self._columns())
        ids = len(self.users.names) + len(self.items.names) + len(self.packed)
        entries = sum(len(column) * column.itemsize for column in columns)
        return entries + ids * ID_BYTES + self._packed_bytes

    def kept(self, holds: Holds, pack: bool = False) -> Columns:
        """Return a generation of what `holds` is true for, by its places.

        With `pack`, the users who were active least recently, with half of all events, keep no more
        than what they have seen; who has sent a `forget` keeps all that came later, and of what was
        packed before it nothing.
        """
        users, items, kinds, values, times, places = (
            np.frombuffer(column, column.typecode) for column in self._columns()[:-1]
        )
        keep = holds(places)
        packed = {number: np.frombuffer(seen, PACKED) for number, seen in self.packed.items()}
        packed = {
            number: seen[holds(seen["place"])]
            for number, seen in packed.items()
            if number not in self.forgetters
        }
        if pack:
            idle = self._idle_users(users, times, keep)
            for number in np.flatnonzero(idle).tolist():
                packed.setdefault(number, _NOTHING_PACKED)
            gone = keep & idle[users]
            _pack(packed, users[gone], items[gone], kinds[gone], places[gone])
            keep &= ~idle[users]
        fresh = Columns()
        fresh.items, fresh.kinds = self.items, self.kinds
        had = np.array(sorted(number for number, seen in packed.items() if len(seen)), np.int32)
        present = np.union1d(users[keep], had)
        for number in present.tolist():
            fresh.users[self.users.names[number]]  # it is numbered by being asked for
        fresh.packed = {
            place: packed[number].tobytes()
            for place, number in zip(
                np.searchsorted(present, had).tolist(), had.tolist(), strict=True
            )
        }
        fresh._packed_bytes = sum(map(len, fresh.packed.values()))
        renumbered = np.searchsorted(present, users[keep])
        fresh._fill(renumbered, items[keep], kinds[keep], values[keep], times[keep], places[keep])
        return fresh

    def _idle_users(self, users: Any, times: Any, keep: Mask) -> Mask:
        """Return by user's number who was active least recently: those with half of the events."""
        latest = np.full(len(self.head), -np.inf)
        np.maximum.at(latest, users, times)
        events = np.bincount(users[keep], minlength=len(latest))
        order = np.lexsort((np.array(self.head), latest))
        idle = np.zeros(len(latest), np.bool_)
        idle[order[np.cumsum(events[order]) <= int(keep.sum()) // 2]] = True
        idle[list(self.forgetters)] = False
        return idle & (events > 0)

    def _fill(self, user: Any, item: Any, kind: Any, value: Any, time: Any, place: Any) -> None:
        """Take these events, in their order; nothing is here yet but the names."""
        order = np.argsort(user, kind="stable")
        same = user[order][1:] == user[order][:-1]
        previous = np.full(len(user), NOTHING, np.int32)
        previous[order[1:][same]] = order[:-1][same]
        head = np.full(len(self.users), NOTHING, np.int32)
        head[user] = np.arange(len(user))  # the last one of each stays
        columns = (user.astype(np.int32), item, kind, value, time, place, previous)
        for column, entries in zip((self.head, *self._columns()), (head, *columns), strict=True):
            column.frombytes(np.ascontiguousarray(entries).tobytes())
        self.forgetters = set(np.unique(user[kind == self.kinds.get(FORGET, -1)]).tolist())

    def _columns(self) -> tuple[array[Any], ...]:
        return (
            self.user, self.item, self.kind, self.value, self.time, self.place, self.previous,
        )  # fmt: skip


def _pack(packed: dict[int, Any], users: Any, items: Any, kinds: Any, places: Any) -> None:
    """Add events to what is packed of their users: of each item and kind the latest alone."""
    added = np.empty(len(users), PACKED)
    added["item"], added["kind"], added["place"] = items, kinds, places
    order = np.argsort(users, kind="stable")
    bounds = np.flatnonzero(np.diff(users[order], prepend=-1, append=-1))
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        number = int(users[order[start]])
        whole = np.concatenate((packed[number], added[order[start:end]]))
        whole = whole[np.argsort(-whole["place"], kind="stable")]
        _, first = np.unique(whole[["item", "kind"]], return_index=True)
        packed[number] = whole[first]
