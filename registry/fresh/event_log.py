"""The event log: what users did lately, in columns, for whoever reads while it is being written.

Pure: knows users, items and places in the interaction topic; must not know versions, Kafka or what
is made of the events. One thread writes, any number read (`registry.fresh.frozen_log`).

Events are only ever appended, and each names its user's event before. A frozen log is therefore a
number: how many events there are. Its reader passes over those that came later, and no lock is
needed. What is to go (a partition that moved, events that every version has learned from) goes by
a new generation of columns; whoever reads the former one keeps it for that long.

A partition may be held from its middle on, while what is earlier is still being read
(`registry.fresh.earlier_ranges`). Nobody sees that until all of it is here, so what is seen of a
partition is always one range of offsets.

An event takes 38 bytes; a user or an item takes about 110 more, once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from registry.errors import ShapeError
from registry.fresh.earlier_ranges import EarlierRange, earlier_ranges
from registry.fresh.event_columns import (
    MOST_KINDS,
    NOTHING,
    OFFSET_BITS,
    Columns,
    EventBatch,
    Mask,
    Places,
    place_of,
)
from registry.fresh.frozen_log import FrozenLog
from registry.wire.training_records.event_weights import FORGET


class EventLog:
    """The log, for the one thread that writes it.

    Parameters
    ----------
    most_bytes
        What it may take. Beyond, the users who were active least recently keep no more than what
        they have seen; that, and what was taken back, is never given up.

    Attributes
    ----------
    earlier
        By partition: the range that is to be read (:meth:`fill`) before what is shown.
    frozen
        What is shown; replaced whole.

    Examples
    --------
    >>> log = EventLog()
    >>> log.begin({0: 5})
    {0: 5}
    >>> log.take(0, EventBatch([5], [7], ["a"], ["watch"], [1.0], [9.5]), end=6)
    >>> frozen = log.frozen
    >>> [frozen.event_at(index).item_id for index in frozen.indices(frozen.number_of(7))]
    ['a']
    """

    def __init__(self, most_bytes: int = 1 << 62) -> None:
        self._columns = Columns()
        self._most_bytes = self._limit = most_bytes
        self.earlier: Mapping[int, EarlierRange] = {}
        self.frozen = FrozenLog(self._columns, 0, {}, {})

    @property
    def is_short(self) -> bool:
        """Whether it takes too much, and nothing may go while an earlier range is being filled."""
        return bool(self.earlier) and self.size_bytes > self._limit

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

    def take(self, partition: int, events: EventBatch, end: int) -> None:
        """Take in events of one partition, in the order of their offsets; show them at once.

        Parameters
        ----------
        partition
            One of those that were begun.
        events
            What is taken in.
        end
            The offset up to which everything of the partition was read.

        Raises
        ------
        ShapeError
            If the partition is none of those that were begun.
        """
        self._require_begun(partition)
        self._append(partition, events)
        self._freeze(self.frozen.starts, {**self.frozen.ends, partition: end})

    def fill(self, partition: int, events: EventBatch, end: int) -> None:
        """Take in events of an earlier range, as :meth:`take` does; show all once it is filled.

        None is from behind the range.
        """
        part = self.earlier[partition]
        self._append(partition, events)
        starts = self.frozen.starts
        if end < part.until:
            self.earlier = {**self.earlier, partition: part._replace(filled=end)}
        else:
            self.earlier = {n: other for n, other in self.earlier.items() if n != partition}
            starts = {**starts, partition: part.start}
        self._freeze(starts, self.frozen.ends)

    def _append(self, partition: int, events: EventBatch) -> None:
        if not events.users:
            return
        columns = self._columns
        base = partition << OFFSET_BITS
        numbers = list(map(columns.users.__getitem__, events.users))
        number_of, kind_of = columns.items.__getitem__, columns.kinds.__getitem__
        kind_numbers = list(map(kind_of, events.kinds))
        forget = columns.kinds.get(FORGET)
        if forget is not None and forget in kind_numbers:
            columns.forgetters.update(
                user for user, kind in zip(numbers, kind_numbers, strict=True) if kind == forget
            )
        columns.append(
            numbers,
            [NOTHING if item is None else number_of(item) for item in events.items],
            _told_apart(kind_numbers),
            events.values,
            events.times,
            [base | offset for offset in events.offsets],
        )
        self._pack_if_large()

    def pass_over(self, partition: int, end: int) -> None:
        """Note that a partition was read up to `end`, and held nothing more.

        Raises
        ------
        ShapeError
            If the partition is none of those that were begun.
        """
        self._require_begun(partition)
        self._freeze(self.frozen.starts, {**self.frozen.ends, partition: end})

    def goes_on(self, partition: int, start: int) -> bool:
        """Tell whether what is here of a partition stays if it is wanted from `start` on.

        Not where `start` is behind its end; nor where there would be an earlier range, but some
        users have nothing left than what they have seen: a `forget` in it must not take that back.
        """
        held = self.frozen
        if held.ends.get(partition, -1) < start:
            return False
        return start >= held.starts[partition] or not self.packed_users

    def begin(
        self, starts: Mapping[int, int], shown_from: Mapping[int, int] | None = None
    ) -> Mapping[int, int]:
        """Hold these partitions from these offsets on, and no others.

        What is here stays, unless its partition is not wanted any more or begins anew
        (:meth:`goes_on`). Where it is wanted from before what is shown, that is an earlier range.

        Parameters
        ----------
        starts
            By partition: the offset from which on.
        shown_from
            By partition that begins anew: the offset from which on it is to be read and shown
            first, not before its start. Empty: from its start on.

        Returns
        -------
        Mapping[int, int]
            By partition: the offset to read on from.
        """
        before, first = self.frozen, shown_from or {}
        anew = {number for number, start in starts.items() if not self.goes_on(number, start)}
        ends = {
            partition: first.get(partition, start) if partition in anew else before.ends[partition]
            for partition, start in starts.items()
        }
        shown = {
            number: ends[number] if number in anew else max(start, before.starts[number])
            for number, start in starts.items()
        }
        ranges, cleared = earlier_ranges(shown, starts, self.earlier, anew)
        self._let_go(anew | (before.starts.keys() - starts.keys()), cleared, shown, ranges)
        self.earlier = ranges
        self._freeze(shown, ends)
        return ends

    def drop(self, partitions: Collection[int]) -> None:
        """Hold nothing of these partitions any more; go on with the others."""
        starts = {**self.frozen.starts} | {
            number: part.start for number, part in self.earlier.items()
        }
        self.begin({number: at for number, at in starts.items() if number not in partitions})

    def _let_go(
        self,
        gone: Collection[int],
        cleared: Collection[int],
        shown: Mapping[int, int],
        ranges: Mapping[int, EarlierRange],
    ) -> None:
        """Drop what is of `gone` partitions, and what is neither shown nor in an earlier range.

        The latter is dropped where it is much, or where such a range begins: what is here of that
        would be taken in twice.
        """
        columns = self._columns

        def holds(places: Places) -> Mask:
            keep = np.zeros(len(places), np.bool_)
            for number in shown.keys() - gone:
                first, after = place_of(number, shown[number]), place_of(number + 1, 0)
                keep |= (places >= first) & (places < after)
            for number, part in ranges.items():
                keep |= (places >= place_of(number, part.start)) & (
                    places < place_of(number, part.filled)
                )
            return keep

        places = np.array(columns.place)  # a copy: a column that a view refers to cannot grow
        kept = holds(places)
        wrong = np.isin(places[~kept] >> OFFSET_BITS, [*gone, *cleared])
        must = bool(wrong.any()) or (bool(columns.packed) and bool(gone or cleared))
        if must or 4 * int(kept.sum()) < 3 * len(places):
            self._columns = columns.kept(holds)

    def _pack_if_large(self) -> None:
        """Give up what idle users' vectors would be made of, once all of it takes too much."""
        if self.size_bytes > self._limit and not self.earlier:
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
