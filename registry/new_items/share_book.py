"""The share book: the shares that count, and the vectors that follow from them.

Pure; mutable, for one thread: the owner of the control partition keeps it. Must not know Kafka, or
how a vector gets to the workers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from registry.fold_in.row_solver import RowSolver
from registry.ids import ItemId
from registry.new_items.item_choice import most_used_of_version
from registry.new_items.item_shares import ItemShare, NewItem, solve_new_items
from registry.new_items.new_item_records import (
    CountedItems,
    NewItemKey,
    NewItemRecord,
    share_of_record,
)

Counted = tuple[int, frozenset[ItemId]]
"""Up to which offset, and of which items the shares count."""


class ShareBook:
    """What the shares of all partitions add up to, by version.

    A share counts while its partition's newest list of counted items has it: so what a worker sent
    that is gone counts for as long as the one that took its partition over says so. Others are not
    kept: a worker sends again what comes to count again.
    """

    def __init__(self) -> None:
        self._shares: defaultdict[str, dict[tuple[int, ItemId], ItemShare]] = defaultdict(dict)
        self._counted: defaultdict[str, dict[int, Counted]] = defaultdict(dict)
        self._changed: defaultdict[str, set[ItemId]] = defaultdict(set)
        self._solved: dict[str, dict[ItemId, NewItem]] = {}

    @property
    def versions(self) -> set[str]:
        """The versions of which there is anything."""
        return {*self._shares, *self._counted}

    def take(self, record: NewItemRecord) -> None:
        """Take in a share, or of which items the shares count.

        Of a partition, what reaches further replaces the other; what reaches as far, too.

        Raises
        ------
        RecordError
            If it is a share whose numbers do not fit.
        """
        version, share, counted = record.version, record.share, record.counted
        if share is not None:
            held = self._shares[version].get((share.partition, share.item_id))
            if held is None or share.end >= held.end:
                found = share_of_record(version, share)
                self._shares[version][share.partition, share.item_id] = found
                self._changed[version].add(share.item_id)
        elif counted is not None:
            self._count(version, counted)

    def drop(self, key: NewItemKey) -> None:
        """Forget what was written under a key, because that was taken back."""
        if key.kind == "counted" and key.partition is not None:
            _, items = self._counted[key.version].pop(key.partition, (0, frozenset[ItemId]()))
            self._changed[key.version] |= items
        elif key.partition is not None and key.item_id is not None:
            self._shares[key.version].pop((key.partition, key.item_id), None)
            self._changed[key.version].add(key.item_id)

    def keys_of(self, version: str) -> list[NewItemKey]:
        """Return the keys of all that there is of a version."""
        shares = [
            NewItemKey("share", version, number, item)
            for number, item in self._shares.get(version, ())
        ]
        counted = [
            NewItemKey("counted", version, number) for number in self._counted.get(version, ())
        ]
        return shares + counted

    def let_go(self, version: str) -> None:
        """Forget a version."""
        for kept in (self._shares, self._counted, self._changed, self._solved):
            kept.pop(version, None)

    def solve(
        self, version: str, solver: Callable[[], RowSolver], factors: int, least_users: int
    ) -> Mapping[ItemId, NewItem]:
        """Return the vectors of the most used items (`registry.new_items.item_choice`).

        Only what has changed since the last time is solved.

        Parameters
        ----------
        version
            Whose.
        solver, factors
            Of its user factors, and how many those are. Other shares are passed over.
        least_users
            Users that an item needs.
        """
        counting: defaultdict[ItemId, list[ItemShare]] = defaultdict(list)
        for (number, item), share in self._shares.get(version, {}).items():
            if self._counts(version, number, item) and len(share.vector) == factors:
                counting[item].append(share)
        users = {item: sum(share.users for share in shares) for item, shares in counting.items()}
        chosen = most_used_of_version(users, least_users)
        before, changed = self._solved.get(version, {}), self._changed.pop(version, set())
        anew = [item for item in chosen if item in changed or item not in before]
        made: Mapping[ItemId, NewItem] = {}
        if anew:
            made = solve_new_items(
                (share for item in anew for share in counting[item]), solver(), least_users
            )
        self._solved[version] = {item: made.get(item) or before[item] for item in chosen}
        return self._solved[version]

    def _count(self, version: str, counted: CountedItems) -> None:
        end, items = self._counted[version].get(counted.partition, (-1, frozenset[ItemId]()))
        if counted.end >= end:
            listed = frozenset(counted.item_ids)
            self._counted[version][counted.partition] = counted.end, listed
            self._changed[version] |= items ^ listed
            self._shares[version] = {  # what comes to count again is sent again
                (number, item): share
                for (number, item), share in self._shares[version].items()
                if number != counted.partition or item in listed
            }

    def _counts(self, version: str, partition: int, item_id: ItemId) -> bool:
        return item_id in self._counted[version].get(partition, (0, ()))[1]
