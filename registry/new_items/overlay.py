"""The overlay: the new items that join one version's lists, beside its arrays and never in them.

Pure. Scores, their order and the bound of their rounding are those of `registry.scoring.ranking`,
to the bit. Must not know who asks, or which items are hidden from whom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.ids import ItemId
from registry.scoring.candidate_ranking import best_among
from registry.scoring.ranking import Ranking
from registry.wire.responses import Item


class PlacedVector(NamedTuple):
    """A new item's vector, and the offset of its record in the new-items topic.

    Parameters
    ----------
    users
        How many users it was learned from.
    vector
        (f,) float32.
    """

    users: int
    vector: NDArray[np.float32]
    offset: int


class Overlay:
    """The new items of one version. Immutable; any number of threads may use it at once.

    Parameters
    ----------
    vectors
        By item; at least one, all of the version's number of factors.

    Attributes
    ----------
    item_ids
        In the order in which equal scores go: integers, then strings.
    """

    def __init__(self, vectors: Mapping[ItemId, PlacedVector]) -> None:
        self.item_ids = sorted(vectors, key=lambda item: (isinstance(item, str), item))
        placed = [vectors[item_id] for item_id in self.item_ids]
        self._offsets = [known.offset for known in placed]
        self._ranking = Ranking(np.stack([known.vector for known in placed]))

    def __len__(self) -> int:
        return len(self.item_ids)

    def vectors_of(self, item_ids: Sequence[ItemId]) -> NDArray[np.float32]:
        """Return the vectors of some of the new items, (items, f) float32."""
        return self._ranking.item_factors[[self.item_ids.index(item) for item in item_ids]]

    def within_reach(
        self, users: NDArray[np.float32], floors: Sequence[float]
    ) -> dict[int, NDArray[np.int32]]:
        """Return which new items may have a score of at least a user's floor.

        Parameters
        ----------
        users
            (users, f) float32, one at least.
        floors
            Of each user.

        Returns
        -------
        By the user's number, for those with any: the places in `item_ids`, ascending.
        """
        scores = users @ self._ranking.item_factors.T
        reach = np.array(floors) - self._ranking.error_bounds(users)
        may = scores >= reach[:, np.newaxis]
        return {
            number: np.flatnonzero(may[number]).astype(np.int32)
            for number in np.flatnonzero(may.any(axis=1)).tolist()
        }

    def best(self, user: NDArray[np.float32], places: NDArray[np.int32], most: int) -> list[Item]:
        """Return the best of some new items, each with its exact score, ties by place."""
        found, scores = best_among(self._ranking, user, places, most)
        return [
            Item(self.item_ids[place], score, vector_offset=self._offsets[place])
            for place, score in zip(found, scores, strict=True)
        ]


def joined(known: Sequence[Item], new: Sequence[Item], k: int) -> list[Item]:
    """Return the `k` best of both; where scores are equal, the known items come first.

    Parameters
    ----------
    known, new
        Each the best of its kind, best first.
    k
        1 or more.

    Examples
    --------
    >>> known, new = [Item(1, 3.0), Item(2, 1.0)], [Item("new", 3.0, vector_offset=7)]
    >>> [item.item_id for item in joined(known, new, 2)]
    [1, 'new']
    """
    return sorted([*known, *new], key=lambda item: -item.score)[:k]
