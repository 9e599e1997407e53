"""How many ids are known, in eight bytes each: their hashes, sorted, and a few that came since."""

from __future__ import annotations

import mmh3
import numpy as np
import numpy.typing as npt

from registry.catalogue.item_keys import key_of
from registry.ids import ItemId

LEAST_MERGED = 4096
"""Hashes that are merged at once, or an eighth of all: so a million cost a few dozen merges."""


class DistinctItemCount:
    """Counts ids that come and go; of two with the same 64-bit hash it knows one.

    >>> count = DistinctItemCount()
    >>> for item_id, known in ((1, True), ("1", True), (1, True), ("1", False)):
    ...     count.note(item_id, known)
    >>> count.total
    1
    """

    def __init__(self) -> None:
        self.total = 0
        self._sorted: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._since: dict[int, bool] = {}

    def note(self, item_id: ItemId, known: bool) -> None:
        """Note whether an id is known from now on."""
        key: int = mmh3.hash64(key_of(item_id))[0]
        self.total += known - self._knows(key)
        self._since[key] = known
        if len(self._since) > max(LEAST_MERGED, len(self._sorted) // 8):
            self._merge()

    def _knows(self, key: int) -> bool:
        if key in self._since:
            return self._since[key]
        place = int(np.searchsorted(self._sorted, key))
        return place < len(self._sorted) and int(self._sorted[place]) == key

    def _merge(self) -> None:
        touched = np.fromiter(self._since, np.int64, len(self._since))
        added = touched[np.fromiter(self._since.values(), np.bool_, len(self._since))]
        self._sorted = np.union1d(np.setdiff1d(self._sorted, touched), added)
        self._since = {}
