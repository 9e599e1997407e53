"""Ranking among some rows: the exact best of them, by one vector or by how near they are to others.

Knows factors and rows. Must not know ids, or why it is these rows. The scores, their order and the
ties are those of `registry.scoring.ranking`, to the bit.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from registry.scoring.kernels import ItemRows
from registry.scoring.ranking import Ranked, Ranking, recompute

FEW: Final = 2_000
"""Rows that are all scored by `recompute`. Of more, a matrix product first tells which cannot be
among the best: it takes a tenth of the time, but its last digits are not the same everywhere."""


COSINE_SLACK: Final = 1e-6
"""Added to the bound of a cosine, for the division and for products that underflow."""


def best_among(ranking: Ranking, vector: npt.NDArray[np.float32], rows: ItemRows, k: int) -> Ranked:
    """Return the `k` best of `rows` and their scores; ties by row.

    Parameters
    ----------
    ranking
        Of the version's items.
    vector
        float32 (factors,).
    rows
        Each once; may be empty.
    k
        1 or more.

    Examples
    --------
    >>> ranking = Ranking(np.array([[1.0], [3.0], [2.0], [3.0]], np.float32))
    >>> best_among(ranking, np.ones(1, np.float32), np.array([3, 2, 1], np.int32), 2)
    ([1, 3], [3.0, 3.0])
    """
    users = vector[np.newaxis]
    if len(rows) > max(FEW, k):
        scores = ranking.item_factors @ vector
        rows = _likely(scores[rows], rows, k, float(ranking.error_bounds(users)[0]))
    return first_of(rows, recompute(ranking.item_factors, users, rows[np.newaxis])[0], k)


def nearest_among(ranking: Ranking, liked: ItemRows, rows: ItemRows, k: int) -> Ranked:
    """Return the `k` of `rows` that are nearest to some items, and how near; ties by row.

    How near is the mean of the cosines between an item's factors and those of each liked item:
    what Oryx calls similarity. Items of which nothing was learned (factors all zero) are left out.

    Parameters
    ----------
    ranking
        Of the version's items.
    liked
        At least one row, each once.
    rows
        Each once, in any order.
    k
        1 or more.

    Returns
    -------
    Nothing if nothing was learned of any liked item.

    Examples
    --------
    >>> ranking = Ranking(np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [0.0, 0.0]], np.float32))
    >>> rows, cosines = nearest_among(ranking, np.array([0]), np.array([1, 2, 3]), 9)
    >>> rows, [round(cosine, 4) for cosine in cosines]
    ([2, 1], [0.7071, 0.0])
    """
    norms = ranking.norms
    liked = liked[norms[liked] > 0]
    rows = rows[norms[rows] > 0]
    if not len(liked):
        return [], []
    units = ranking.item_factors[liked] / norms[liked][:, np.newaxis]
    mean = units.mean(axis=0).astype(np.float32)
    if len(rows) > max(FEW, k):
        bound = float(ranking.error_bounds(mean[np.newaxis])[0]) / ranking.largest_norm
        cosines = (ranking.item_factors @ mean)[rows] / norms[rows]
        rows = _likely(cosines, rows, k, bound + COSINE_SLACK)
    scores = recompute(ranking.item_factors, mean[np.newaxis], rows[np.newaxis])[0]
    return first_of(rows, scores / norms[rows], k)


def first_of(rows: ItemRows, scores: npt.NDArray[np.floating], k: int) -> Ranked:
    """Return the `k` rows with the highest scores, ties by row."""
    order = np.lexsort((rows, -scores))[:k]
    return rows[order].tolist(), scores[order].tolist()


def _likely(proposed: npt.NDArray[np.floating], rows: ItemRows, k: int, bound: float) -> ItemRows:
    """Return the rows that may be among the best, by the argument of `Ranking.best`."""
    kth = np.partition(proposed, len(rows) - k)[len(rows) - k]
    likely: ItemRows = rows[proposed >= kth - 2 * bound]
    return likely
