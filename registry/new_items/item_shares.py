"""Shares of new items: what each partition's users add to an item's equation, and the solution.

Pure: arrays and offsets. Must not know Kafka, who owns which partition, or how a vector is served.

The vector of an item is the solution of the same equation as a user's, with the users' stored
vectors in the place of the items'. An item's users are in many partitions, so each gives its
*share* of the equation's two sums, with the offset up to which it counts. Which share of a
partition counts is the share book's rule (`registry.new_items.share_book`). Shares travel as
float32, and are added as float64.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.errors import ShapeError
from registry.fold_in.loss_function import LossFunction
from registry.fold_in.row_solver import Factors, Matrix, RowSolver, sums_of
from registry.ids import ItemId


class ShareKey(NamedTuple):
    """Whose share it is: of which version, partition and item."""

    version: str
    partition: int
    item_id: ItemId


@dataclass(frozen=True, slots=True, eq=False)
class ItemShare:
    """What one partition's users add to an item's equation.

    Parameters
    ----------
    key
        Whose share it is.
    end
        Offset up to which it counts, exclusive.
    users
        How many users of the version it sums up; 0: nobody's interactions count (any more).
    triangle
        (f (f + 1) / 2,): the upper triangle of the sum over their vectors, by row.
    vector
        (f,): the other sum.
    """

    key: ShareKey
    end: int
    users: int
    triangle: NDArray[np.floating]
    vector: NDArray[np.floating]


def share_of(
    key: ShareKey,
    end: int,
    user_factors: Factors,
    loss: LossFunction,
    user: NDArray[np.int32],
    weight: NDArray[np.float32],
) -> ItemShare:
    """Return the share of a partition's users.

    Parameters
    ----------
    key, end
        Whose share it is, and up to which offset.
    user_factors, loss
        The version's.
    user, weight
        (users,) rows of the users whose vectors are not all zeros, and what the item weighs for
        each, above 0.
    """
    matrix, vector = sums_of(user_factors, loss, user, weight)
    return ItemShare(key, end, len(user), matrix[np.triu_indices(len(vector))], vector)


class NewItem(NamedTuple):
    """An item that a version did not know.

    Parameters
    ----------
    users
        How many users it was learned from.
    vector
        (f,) float32.
    """

    users: int
    vector: Factors


def solve_new_items(
    shares: Iterable[ItemShare], solver: RowSolver, least_users: int
) -> dict[ItemId, NewItem]:
    """Return the items with enough users, and their vectors.

    Parameters
    ----------
    shares
        Of one version, of each partition and item at most one.
    solver
        Of the version's user factors.
    least_users
        Users that an item needs; at least 1.

    Raises
    ------
    ShapeError
        If they are of several versions, or of one partition and item several times.
    """
    by_item: defaultdict[ItemId, list[ItemShare]] = defaultdict(list)
    keys = set()
    for share in shares:
        by_item[share.key.item_id].append(share)
        if share.key in keys:
            raise ShapeError(f"two shares of {share.key}; the one that counts is needed")
        keys.add(share.key)
    if len(versions := {key.version for key in keys}) > 1:
        raise ShapeError(f"shares of {sorted(versions)}; those of one version are needed")
    return {
        item_id: NewItem(users, _solved(parts, users, solver))
        for item_id, parts in by_item.items()
        if (users := sum(share.users for share in parts)) >= least_users
    }


def _solved(parts: list[ItemShare], users: int, solver: RowSolver) -> Factors:
    ordered = sorted(parts, key=lambda share: share.key.partition)  # the same sum for everybody
    vector = _added([share.vector for share in ordered])
    matrix = np.zeros((len(vector), len(vector)))
    matrix[np.triu_indices(len(vector))] = _added([share.triangle for share in ordered])
    return solver.solve_shared(matrix + np.triu(matrix, 1).T, vector, users)


def _added(parts: list[NDArray[np.floating]]) -> Matrix:
    total: Matrix = np.stack(parts).sum(axis=0, dtype=np.float64)
    return total
