"""The columns of the event log: one generation, in which events are only ever appended.

Pure. Readers take single entries while the writer appends: the writer links an event as its user's
latest last, so no reader sees half of one. Must not know what is read of it, or when it may go.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

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
