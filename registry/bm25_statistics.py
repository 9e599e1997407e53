"""BM25's statistics: what a snapshot tells of its items, and what follows of any cells from it.

Pure NumPy: the formula is in :mod:`registry.weighing`. Must not know what the values are of.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.wire.training_records.event_weights import EventWeight

Floats: TypeAlias = NDArray[np.float64]


class Bm25(NamedTuple):
    """What BM25 knows of some cells.

    Parameters
    ----------
    norm
        n of each cell's document (item, or user).
    rarity
        r of each cell's term (user, or item).
    """

    norm: Floats
    rarity: Floats


class SnapshotBm25(NamedTuple):
    """What BM25 knows of a snapshot's items and, in the mean, of its users.

    What it knows of each user follows from the user's own cells, so that it counts those that came
    later, and those of new users.

    Parameters
    ----------
    of_items
        (items,): n of each, with ``per=item``; else r of each.
    mean_length
        Of all users, with ``per=user``; else 1.
    """

    of_items: Floats
    mean_length: float = 1.0

    def at(self, x: NDArray[np.float32], where: CellPlaces, weight: EventWeight) -> Bm25:
        """Return norm and rarity of each cell.

        Parameters
        ----------
        x
            (cells,) values minus their floor, NaN where there is no event.
        where
            The cells: all that each of their users has.
        weight
            Its ``b`` and ``per`` are read.
        """
        of_items = self.of_items[where.item]
        if weight.per == "user":
            length = _sums(where.user, _size(x), where.users)
            return Bm25(_norm(length, self.mean_length, weight.b)[where.user], of_items)
        entries = _sums(where.user, ~np.isnan(x), where.users)
        return Bm25(of_items, _rarity(len(self.of_items), entries)[where.user])


class CellPlaces(NamedTuple):
    """Where cells lie.

    Parameters
    ----------
    user, item
        (cells,) rows.
    users
        How many user rows there are.
    """

    user: NDArray[np.integer]
    item: NDArray[np.integer]
    users: int


def snapshot_bm25(
    x: NDArray[np.float32], where: CellPlaces, items: int, weight: EventWeight
) -> SnapshotBm25:
    """Return BM25's statistics of one kind of event.

    Parameters
    ----------
    x
        (cells,) values minus their floor, NaN where there is no event.
    where
        The snapshot's cells.
    items
        How many item rows there are.
    weight
        Its ``b`` and ``per`` are read. ``b`` 0: lengths do not count; 1: fully.
    """
    if weight.per == "user":
        entries = _sums(where.item, ~np.isnan(x), items)
        length = _sums(where.user, _size(x), where.users)
        return SnapshotBm25(_rarity(where.users, entries), _mean(length))
    length = _sums(where.item, _size(x), items)
    return SnapshotBm25(_norm(length, _mean(length), weight.b))


def _sums(row: NDArray[np.integer], values: NDArray[Any], rows: int) -> Floats:
    sums: Floats = np.bincount(row, values.astype(np.float64), rows).astype(np.float64, copy=False)
    return sums


def _size(x: NDArray[np.float32]) -> Floats:
    return np.nan_to_num(np.abs(x, dtype=np.float64))


def _mean(length: Floats) -> float:
    return float(length.mean()) if length.any() else 1.0


def _norm(length: Floats, mean: float, b: float) -> Floats:
    return 1 - b + b * length / mean


def _rarity(documents: int, entries: Floats) -> Floats:
    rarity: Floats = np.maximum(np.log(max(documents, 1)) - np.log1p(entries), 0)
    return rarity
