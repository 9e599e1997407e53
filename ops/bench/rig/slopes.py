"""Slopes: whether a repeatedly read figure grows, and with what confidence.

Pure. Theil–Sen: the median of the slopes between all pairs of readings, with the interval that
Kendall's rank correlation gives it (Sen, "Estimates of the regression coefficient based on
Kendall's tau", JASA 63, 1968). A few readings that a collection or a burst has lifted move it
little. Readings in a row resemble one another, so the interval is narrower than it should be.
The numbers are those of `scipy.stats.theilslopes`, whose import takes half a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ops.bench.rig.figures import Claim
from registry.errors import ShapeError

CONFIDENCE = 0.95

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]


class TimedFigure(NamedTuple):
    """A figure, and its time in seconds after the start."""

    at: float
    value: float


class Slope(NamedTuple):
    """Growth an hour, and the interval of 95 % around it."""

    per_hour: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{self.per_hour:+.2f} [{self.lower:+.2f}, {self.upper:+.2f}] an hour"


def slope_of(readings: Sequence[TimedFigure]) -> Slope:
    """Return the slope of `readings`.

    Raises
    ------
    ShapeError
        If there are fewer than three.

    Examples
    --------
    >>> str(slope_of([TimedFigure(at, 100 + at / 3600) for at in range(0, 3600, 600)]))
    '+1.00 [+1.00, +1.00] an hour'
    """
    if len(readings) < 3:
        raise ShapeError(f"{len(readings)} readings are too few for a slope; at least 3 are needed")
    at, values = np.array(readings).T
    earlier, later = np.nonzero(at[:, np.newaxis] < at)
    slopes = np.sort((values[later] - values[earlier]) / (at[later] - at[earlier])) * 3600
    half_width = _sigma(at, values) * NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    lower = max(round((len(slopes) - half_width) / 2) - 1, 0)
    upper = min(round((len(slopes) + half_width) / 2), len(slopes) - 1)
    return Slope(float(np.median(slopes)), float(slopes[lower]), float(slopes[upper]))


def _sigma(at: Floats, values: Floats) -> float:
    """Return the standard deviation of Kendall's statistic, less what ties take (Sen, 2.6)."""

    def weighed(counts: Counts) -> int:
        return int((counts * (counts - 1) * (2 * counts + 5)).sum())

    ties = (np.unique(column, return_counts=True)[1] for column in (at, values))
    return math.sqrt((weighed(np.array([len(at)])) - sum(map(weighed, ties))) / 18)


def judged(claim: str, slope: Slope, most: float, long_enough: bool) -> Claim:
    """Return whether a figure grows by at most `most` an hour.

    Parameters
    ----------
    claim
        What is judged.
    slope
        Of the readings after the warm-up.
    most
        The bar.
    long_enough
        Whether the run lasted so long that an hour may be concluded from it. In a few minutes,
        caches that fill look like a leak.

    Examples
    --------
    >>> judged("grows", Slope(2.0, 1.5, 2.5), 1.0, True).verdict
    'fail'
    >>> judged("grows", Slope(0.5, -0.2, 1.2), 1.0, True).verdict
    'pass'
    >>> judged("grows", Slope(20.0, 10.0, 30.0), 1.0, False).verdict
    'inconclusive'
    """
    wanted = f"at most {most:g} an hour"
    if not long_enough:
        return Claim(claim, slope.per_hour, wanted, "inconclusive")
    return Claim(claim, slope.per_hour, wanted, "pass" if slope.per_hour <= most else "fail")
