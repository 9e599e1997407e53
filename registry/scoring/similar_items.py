"""The items that are most similar to those of `like`: by the mean of their cosines.

Knows factors and rows. Must not know ids. Scores, order and ties are the same on every processor.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from registry.scoring.candidate_ranking import FEW, first_of, likely
from registry.scoring.kernels import ItemRows
from registry.scoring.ranking import Ranked, Ranking, recompute

COSINE_SLACK: Final = 1e-6
"""Added to the bound of a cosine, for the division and for products that underflow."""


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
        rows = likely(cosines, rows, k, bound + COSINE_SLACK)
    scores = recompute(ranking.item_factors, mean[np.newaxis], rows[np.newaxis])[0]
    return first_of(rows, scores / norms[rows], k)
