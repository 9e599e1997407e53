"""Availability: which items no answer may show, by the newest record of each and the time.

Pure: records and the time come in. Keeps no title and no label, and of an item that may always be
shown no more than that it is known.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import Final

from registry.catalogue.distinct_item_count import DistinctItemCount
from registry.catalogue.item_changes import ItemChange
from registry.ids import ItemId
from registry.wire.training_records.catalogue_items import CatalogueItem

LEAST_OUTDATED: Final = 1_000
"""Ends that no longer hold are dropped once there are so many, and more than of those that do."""


@dataclass(frozen=True, slots=True, eq=False)
class Withdrawals:
    """The items that no answer may show at some moment.

    Parameters
    ----------
    item_ids
        Which.
    offset
        Of the next record of the items topic: all before it count.
    """

    item_ids: frozenset[ItemId] = frozenset()
    offset: int = 0


NOTHING_WITHDRAWN: Final = Withdrawals()


def available_until(item: CatalogueItem | None) -> float:
    """Return until when an item may be shown, in seconds since the epoch.

    >>> available_until(None), available_until(CatalogueItem(1, available_until=5.0))
    (inf, 5.0)
    >>> available_until(CatalogueItem(1, available_until=5.0, withdrawn=True))
    -inf
    """
    if item is None:
        return math.inf
    if item.withdrawn:
        return -math.inf
    return math.inf if item.available_until is None else item.available_until


class Availability:
    """What the records say, as far as they have been read; one thread's.

    >>> availability = Availability()
    >>> item = CatalogueItem(7, available_until=50.0)
    >>> availability.note(0, ItemChange(7, item), now=10.0)
    >>> availability.withdrawals.item_ids
    frozenset()
    >>> availability.pass_time(50.0)
    >>> availability.withdrawals
    Withdrawals(item_ids=frozenset({7}), offset=1)
    """

    def __init__(self) -> None:
        self.offset = 0
        self._known = DistinctItemCount()
        self._withdrawn: set[ItemId] = set()
        self._until: dict[ItemId, float] = {}
        self._ends: list[tuple[float, int, ItemId]] = []
        self._made: Withdrawals | None = NOTHING_WITHDRAWN

    @property
    def known(self) -> int:
        """Items of which there is a record."""
        return self._known.total

    @property
    def withdrawals(self) -> Withdrawals:
        """What no answer may show; the same object as long as that does not change."""
        if self._made is None:
            self._made = Withdrawals(frozenset(self._withdrawn), self.offset)
        return self._made

    def note(self, offset: int, change: ItemChange, now: float) -> None:
        """Take the record at `offset`; `now` is in seconds since the epoch."""
        item_id, until = change.item_id, available_until(change.item)
        self.offset = offset + 1
        self._known.note(item_id, change.item is not None)
        self._until.pop(item_id, None)
        if now < until < math.inf:
            self._until[item_id] = until
            heapq.heappush(self._ends, (until, offset, item_id))
            self._drop_outdated()
        self._withdraw(item_id, until <= now)

    def skip(self, offset: int) -> None:
        """Pass the record at `offset`, which says nothing."""
        self.offset = offset + 1

    def pass_time(self, now: float) -> None:
        """Withdraw what was available until `now`, in seconds since the epoch, or earlier."""
        while self._ends and self._ends[0][0] <= now:
            until, _, item_id = heapq.heappop(self._ends)
            if self._until.get(item_id) == until:
                del self._until[item_id]
                self._withdraw(item_id, True)

    def _withdraw(self, item_id: ItemId, is_withdrawn: bool) -> None:
        if is_withdrawn == (item_id in self._withdrawn):
            return
        self._made = None
        if is_withdrawn:
            self._withdrawn.add(item_id)
        else:
            self._withdrawn.remove(item_id)

    def _drop_outdated(self) -> None:
        if len(self._ends) > LEAST_OUTDATED + 2 * len(self._until):
            self._ends = [end for end in self._ends if self._until.get(end[2]) == end[0]]
            heapq.heapify(self._ends)
