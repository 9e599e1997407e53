"""The frozen log: the event log at one moment, for whoever reads while it is being written.

Pure. Must not know how it is written, versions, Kafka or what is made of the events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from registry.fresh.event_columns import OFFSET_BITS, PACKED, Columns
from registry.fresh.fresh_events import FreshEvent
from registry.ids import UserId


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
