"""The version that is served now, seen from the rows of a new training set.

Pure NumPy: knows ids, rows and arrays; must not know the store, nor how the scores are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.ids import ItemId, UserId
from registry.scoring.model_arrays import ModelArrays
from registry.versions.manifest import Parameters
from training.data.matrix import Cells, Mask
from training.judging.holdout import Rows
from training.judging.ranking_metrics import Score, Scores

ABSENT: Final = -1
"""Instead of a row: the other side does not have this id."""

Ids: TypeAlias = Sequence[UserId] | Sequence[ItemId]


@dataclass(frozen=True, slots=True, eq=False)
class IncumbentArrays:
    """The incumbent's arrays, in the rows of a new training set.

    Parameters
    ----------
    users, items
        (users,) and (items,): the incumbent's row of each, `ABSENT` if it has none.
    known
        (cells,) which of the training set's cells the incumbent has seen.
    missing_items
        Items of the incumbent that the training set has not, of `all_items`.
    arrays
        What it serves with.
    """

    users: Rows
    items: Rows
    known: Mask
    missing_items: int
    all_items: int
    arrays: ModelArrays

    @property
    def knows(self) -> Mask:
        """(users,): of whom it has learned something."""
        return _learned(self.users, self.arrays.user_factors)

    @property
    def knows_items(self) -> Mask:
        """(items,): those that it has learned."""
        return _learned(self.items, self.arrays.item_factors)

    @property
    def gone(self) -> int:
        """How many of the pairs that it has seen are not in the training set."""
        return len(self.arrays.seen_items) - int(self.known.sum())

    @property
    def score(self) -> Score:
        """Its scores of users that it knows; minus infinity of items that it has not."""
        items, absent = self.arrays.item_factors[self.items].T, self.items == ABSENT

        def score(rows: Rows) -> Scores:
            scores: NDArray[np.float32] = self.arrays.user_factors[self.users[rows]] @ items
            scores[:, absent] = -np.inf
            return scores

        return score


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The version that is served now.

    Parameters
    ----------
    version, parameters
        As its manifest tells.
    arrays
        What it serves with; None if they cannot be read, for the reason that `complaint` tells.
    backend, digest
        As its manifest tells: what fitted it, and
        :func:`registry.versions.manifest.content_digest`.
    """

    version: str
    parameters: Parameters
    arrays: ModelArrays | None = None
    complaint: str = ""
    backend: str = "implicit"
    digest: str = ""


def align(arrays: ModelArrays, cells: Cells) -> IncumbentArrays:
    """Return a version in the rows of `cells`."""
    users = _rows_of(arrays.user_ids, cells.user_ids)
    items = _rows_of(arrays.item_ids, cells.item_ids)
    return IncumbentArrays(
        users=users,
        items=items,
        known=_seen(arrays, users[cells.user], items[cells.item]),
        missing_items=len(arrays.item_ids) - int((items != ABSENT).sum()),
        all_items=len(arrays.item_ids),
        arrays=arrays,
    )


def _rows_of(theirs: Ids, ours: Ids) -> Rows:
    """Return (ours,): the row in `theirs` of each of our ids; 5 and "5" are different ids."""
    row = {id_: place for place, id_ in enumerate(theirs)}
    return np.fromiter((row.get(id_, ABSENT) for id_ in ours), np.int64, len(ours))


def _learned(rows: Rows, factors: NDArray[np.float32]) -> Mask:
    """Return (ours,): whether there is a row in `factors`, and not of zeros."""
    learned = np.any(factors, axis=1)
    both: Mask = (rows != ABSENT) & learned[rows]
    return both


def _seen(arrays: ModelArrays, user: Rows, item: Rows) -> Mask:
    """Return (cells,): whether the version has seen item row `item` of user row `user`."""
    lengths, width = np.diff(arrays.seen_indptr), len(arrays.item_ids)
    keys = np.repeat(np.arange(len(lengths)), lengths) * width + arrays.seen_items
    keys.sort()  # the artifact does not promise an order within a user
    both = (user != ABSENT) & (item != ABSENT)
    if not len(keys):
        return np.zeros(len(user), np.bool_)
    wanted = user * width + item
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    held: Mask = both & (keys[found] == wanted)
    return held
