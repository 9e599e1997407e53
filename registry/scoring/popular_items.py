"""Popular items: what a user gets of whom nothing was learned. Those with most interactions first.

Pure. Must not know users, or why an item is left out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from registry.scoring.kernels import ItemRows
from registry.scoring.ranking import Ranked


def by_popularity(popularity: npt.NDArray[np.float64]) -> ItemRows:
    """Return all rows, the most popular first; equal ones by row."""
    return np.argsort(-popularity, kind="stable").astype(np.int32)


def most_popular(
    popular: ItemRows, popularity: npt.NDArray[np.float64], k: int, hidden: ItemRows
) -> Ranked:
    """Return the first `k` rows of `popular` that are not hidden, with their popularity.

    Parameters
    ----------
    popular
        The rows that may show, the most popular first.
    popularity
        Of every row.
    k
        How many.
    hidden
        Rows to leave out.

    Examples
    --------
    >>> popularity = np.array([2.0, 9.0, 4.0])
    >>> most_popular(by_popularity(popularity), popularity, 2, np.array([1], np.int32))
    ([2, 0], [4.0, 2.0])
    """
    left_out = set(hidden.tolist())
    candidates = popular[: k + len(left_out)].tolist()
    rows = [row for row in candidates if row not in left_out][:k]
    return rows, popularity[rows].tolist()
