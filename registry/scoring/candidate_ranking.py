"""Ranking the candidates of a request only: the exact best of some rows, by one vector.

By how near they are to liked items: `registry.scoring.similar_items`. Knows factors and rows. Must
not know ids, or why it is these rows. The scores, their order and the ties are those of
`registry.scoring.ranking`, to the bit.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from registry.scoring.kernels import ItemRows
from registry.scoring.ranking import Ranked, Ranking, recompute
from registry.scoring.score_order import best_first

FEW: Final = 2_000
"""Rows that are all scored by `recompute`. Of more, a matrix product first tells which cannot be
among the best: it takes a tenth of the time, but its last digits are not the same everywhere."""


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
        rows = likely(scores[rows], rows, k, float(ranking.error_bounds(users)[0]))
    return first_of(rows, recompute(ranking.item_factors, users, rows[np.newaxis])[0], k)


def first_of(rows: ItemRows, scores: npt.NDArray[np.floating], k: int) -> Ranked:
    """Return the `k` rows with the highest scores, ties by row."""
    order = best_first(rows, scores)[:k]
    return rows[order].tolist(), scores[order].tolist()


def likely(proposed: npt.NDArray[np.floating], rows: ItemRows, k: int, bound: float) -> ItemRows:
    """Return the rows that may be among the best, by the argument of `Ranking.best`."""
    kth = np.partition(proposed, len(rows) - k)[len(rows) - k]
    near: ItemRows = rows[proposed >= kth - 2 * bound]
    return near
