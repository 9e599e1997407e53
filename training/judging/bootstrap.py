"""How sure a mean over users is: intervals by the bootstrap.

Pure NumPy: knows columns of one number per user; must not know what the numbers mean.

The users are resampled with replacement, `RESAMPLES` times; the interval holds the middle 95 % of
the resampled means (the percentile method: Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 13). All columns are resampled together, so the interval of a column of
differences is that of the *paired* difference: how hard a user is to please drops out of it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 1_000
"""The bounds then have a Monte Carlo error of about a tenth of the standard error."""

CONFIDENCE: Final = 0.95
"""Share of the resamples within the bounds."""

FEWEST_USERS: Final = 10
"""With fewer, so few resamples differ that the bounds claim more than is known."""

DRAWS_AT_ONCE: Final = 250_000
"""Users drawn in one step (2 MB); the bounds do not depend on it."""

Bounds = tuple[float, float]
"""Low and high."""


def bootstrap(columns: NDArray[np.float64], seed: int) -> list[Bounds] | None:
    """Return the interval of each column's mean.

    Parameters
    ----------
    columns
        (users, columns).
    seed
        The same seed and number of users give the same resamples.

    Returns
    -------
    One (low, high) a column; None for fewer than `FEWEST_USERS` users, which give no interval.

    Examples
    --------
    >>> bootstrap(np.ones((12, 1)), 0)
    [(1.0, 1.0)]
    >>> bootstrap(np.ones((9, 1)), 0) is None
    True
    """
    users = len(columns)
    if users < FEWEST_USERS:
        return None
    random, means = np.random.default_rng(seed), np.empty((RESAMPLES, columns.shape[1]))
    at_once = max(1, DRAWS_AT_ONCE // users)
    for start in range(0, RESAMPLES, at_once):
        resamples = min(at_once, RESAMPLES - start)
        drawn = random.integers(0, users, (resamples, users))
        drawn += np.arange(resamples)[:, None] * users  # one row of counts a resample
        times = np.bincount(drawn.ravel(), minlength=resamples * users).reshape(resamples, users)
        means[start : start + resamples] = times @ columns / users
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, (outside, 1 - outside), axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))
