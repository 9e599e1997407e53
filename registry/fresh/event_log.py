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

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from registry.errors import ShapeError
from registry.fresh.event_columns import (
    MOST_KINDS,
    NOTHING,
    OFFSET_BITS,
    PACKED,
    Columns,
    Mask,
    Places,
    place_of,
)
from registry.fresh.fresh_events import FreshEvent
from registry.ids import ItemId, UserId
from registry.wire.training_records.event_weights import FORGET


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

    def packed(self, user: int) -> list[tuple[int, int, int]]:
        """Return item, kind and place of a user's events of which no more is left."""
        seen = self.columns.packed.get(user)
        found: list[tuple[int, int, int]] = (
            [] if seen is None else np.frombuffer(seen, PACKED).tolist()
        )
        return found

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

    Parameters
    ----------
    most_bytes
        What it may take. Beyond, the users who were active least recently keep no more than what
        they have seen; that, and what was taken back, is never given up.

    Examples
    --------
    >>> log = EventLog()
    >>> log.begin({0: 5})
    {0: 5}
    >>> log.take(0, [5], [7], ["a"], ["watch"], [1.0], [9.5], end=6)
    >>> frozen = log.frozen
    >>> [frozen.event_at(index).item_id for index in frozen.indices(frozen.number_of(7))]
    ['a']
    """

    def __init__(self, most_bytes: int = 1 << 62) -> None:
        self._columns = Columns()
        self._most_bytes = self._limit = most_bytes
        self.frozen = FrozenLog(self._columns, 0, {}, {})

    @property
    def size_bytes(self) -> int:
        """What the events, users and items take."""
        return self._columns.size_bytes

    @property
    def users(self) -> int:
        """How many users there are."""
        return len(self._columns.users)

    @property
    def packed_users(self) -> int:
        """Of how many users no more is left than what they have seen, of a part of it at least."""
        return len(self._columns.packed)

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

        Raises
        ------
        ShapeError
            If the partition is none of those that were begun.
        """
        self._require_begun(partition)
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
                _told_apart(kind_numbers),
                values,
                times,
                [base | offset for offset in offsets],
            )
            self._pack_if_large()
        self._freeze(self.frozen.starts, {**self.frozen.ends, partition: end})

    def pass_over(self, partition: int, end: int) -> None:
        """Note that a partition was read up to `end`, and held nothing more.

        Raises
        ------
        ShapeError
            If the partition is none of those that were begun.
        """
        self._require_begun(partition)
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

        def holds(places: Places) -> Mask:
            keep = np.zeros(len(places), np.bool_)
            for number in starts.keys() - gone:
                first, after = place_of(number, starts[number]), place_of(number + 1, 0)
                keep |= (places >= first) & (places < after)
            return keep

        places = np.array(columns.place)  # a copy: a column that a view refers to cannot grow
        must = bool(gone) and (
            bool(columns.packed) or bool(np.isin(places >> OFFSET_BITS, list(gone)).any())
        )
        if must or 4 * int(holds(places).sum()) < 3 * len(places):
            self._columns = columns.kept(holds)

    def _pack_if_large(self) -> None:
        """Give up what idle users' vectors would be made of, once all of it takes too much."""
        size = self.size_bytes
        if size > self._limit:
            self._columns = self._columns.kept(
                lambda places: np.ones(len(places), np.bool_), pack=True
            )
            self._limit = max(self._most_bytes, int(self.size_bytes * 1.1))

    def _require_begun(self, partition: int) -> None:
        if partition not in self.frozen.starts:
            raise ShapeError(
                f"partition {partition} was not begun; these were: {sorted(self.frozen.starts)}"
            )

    def _freeze(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """Show what is here: whole, in one assignment."""
        self.frozen = FrozenLog(self._columns, len(self._columns.user), starts, ends)


def _told_apart(kinds: list[int]) -> list[int]:
    if max(kinds) < MOST_KINDS:
        return kinds
    return [min(number, MOST_KINDS - 1) for number in kinds]
