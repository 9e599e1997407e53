"""Slopes: whether a repeatedly read figure grows, and with what confidence.

Pure. Theil–Sen: the median of the slopes between all pairs of readings, with the interval that
Kendall's rank correlation gives it (Sen, "Estimates of the regression coefficient based on
Kendall's tau", JASA 63, 1968). A few readings that a collection or a burst has lifted move it
little. Readings in a row resemble one another, so the interval is narrower than it should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ops.bench.rig.figures import Claim
from registry.errors import ShapeError

CONFIDENCE = 0.95


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
    from scipy.stats import theilslopes  # late: it takes longer to import than all the rest

    at, values = np.array(readings).T
    slope, _, lower, upper = theilslopes(values, at, alpha=CONFIDENCE)
    return Slope(float(slope) * 3600, float(lower) * 3600, float(upper) * 3600)


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
