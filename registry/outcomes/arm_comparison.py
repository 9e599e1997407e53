"""Two arms compared by their closed users: intervals that hold whenever they are checked.

Pure. ``conversion`` is judged by the e-values of `registry.guardrails.evidence`, ``outcomes per
exposure`` by the delta method and an asymptotic confidence sequence. Words are in
`registry.outcomes.conclusion`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from registry.guardrails.evidence import Sample, log_e_value, log_evidence_of_excess
from registry.outcomes.ratio_bound import mixture_width
from registry.wire.outcome_records import ArmSums
from registry.wire.ramp_values import OutcomeMetric

Standing: TypeAlias = Literal["better", "worse", "undecided", "no data"]

LEAST_USERS: Final = 200
"""Closed users that each arm needs before a ratio is judged. Its interval holds for large counts;
with fewer, a single heavy user can move the estimate and its variance at once."""

HALVINGS: Final = 40
"""Of a difference within [-1, 1]: its bound to 2e-12."""


class Interval(Struct, frozen=True):
    """From where to where a figure may be."""

    lower: float
    upper: float


class Comparison(Struct, frozen=True):
    """One metric of the canary's arm (B) against that of the primary's (A).

    Parameters
    ----------
    metric
        Which one.
    standing
        Of B: what may be concluded now.
    primary, canary
        The estimates; None without users, or without exposures.
    difference, lower, upper
        ``canary - primary`` and its confidence sequence; None while nothing can be said.
    alpha
        Most probability that the true difference is ever outside.
    primary_interval, canary_interval
        Confidence sequences of the two estimates, each at `alpha`; None while nothing can be said.
    """

    metric: OutcomeMetric
    standing: Standing
    primary: float | None
    canary: float | None
    difference: float | None
    lower: float | None
    upper: float | None
    alpha: float
    primary_interval: Interval | None = None
    canary_interval: Interval | None = None


def compare_conversion(primary: ArmSums, canary: ArmSums, alpha: float) -> Comparison:
    """Compare the shares of users with at least one outcome.

    The bounds are the differences that :func:`~registry.guardrails.evidence.log_evidence_of_excess`
    does not refute at ``alpha / 2`` on each side, so they hold for any number of users.

    Parameters
    ----------
    primary, canary
        The arms.
    alpha
        Most probability that the true difference is ever outside, 0..1 exclusive.

    Examples
    --------
    >>> shown = compare_conversion(ArmSums(2000, 800), ArmSums(2000, 1000), 0.05)
    >>> shown.standing, round(shown.lower, 3), round(shown.upper, 3)
    ('better', 0.024, 0.175)
    """
    if not primary.users or not canary.users:
        return _no_data("conversion", _share(primary), _share(canary), alpha)
    below = Sample(primary.converted, primary.users)
    above = Sample(canary.converted, canary.users)
    needed = -math.log(alpha / 2)

    def exceeds(larger: Sample, smaller: Sample, by: float) -> bool:
        return log_evidence_of_excess(larger, smaller, by) >= needed

    middle = above.mean - below.mean
    return _judged(
        "conversion",
        below.mean,
        above.mean,
        _border(lambda by: exceeds(above, below, by), -1.0, middle),
        -_border(lambda by: exceeds(below, above, by), -1.0, -middle),
        alpha,
        (_mean_interval(below, alpha), _mean_interval(above, alpha)),
    )


def compare_ratio(primary: ArmSums, canary: ArmSums, alpha: float) -> Comparison:
    """Compare outcomes per exposure, ``R = Σx / Σy``, with users as the units.

    The variance of ``R`` is the delta method's (Deng, Knoblich and Lu 2018), see
    :func:`ratio_variance`; the bounds are the asymptotic confidence sequence of
    :func:`~registry.outcomes.ratio_bound.mixture_width` over the users of both arms.

    Parameters
    ----------
    primary, canary
        The arms; each needs `LEAST_USERS`.
    alpha
        Most probability that the true difference is ever outside, 0..1 exclusive.
    """
    ratios = _ratio(primary), _ratio(canary)
    if min(primary.users, canary.users) < LEAST_USERS or None in ratios:
        return _no_data("outcomes_per_exposure", *ratios, alpha)
    below, above = ratios[0] or 0.0, ratios[1] or 0.0
    variance = ratio_variance(primary) + ratio_variance(canary)
    width = mixture_width(variance, primary.users + canary.users, alpha)
    middle = above - below
    return _judged(
        "outcomes_per_exposure",
        below,
        above,
        middle - width,
        middle + width,
        alpha,
        (_ratio_interval(primary, below, alpha), _ratio_interval(canary, above, alpha)),
    )


def ratio_variance(sums: ArmSums) -> float:
    """Return the variance of ``Σx / Σy`` by the delta method.

    ``(s_xx - 2 R s_xy + R² s_yy) / (n ȳ²)`` with the sample (co)variances (``n - 1``).

    Parameters
    ----------
    sums
        Of at least two users and one exposure.

    Examples
    --------
    >>> ratio_variance(ArmSums(users=2, x=2.0, y=4.0, xx=4.0, xy=6.0, yy=10.0))  # (2, 3), (0, 1)
    0.0625
    """
    n, ratio = sums.users, sums.x / sums.y
    # Σ (x - R y)² about its mean, which is 0: Σx - R Σy = 0
    squares = sums.xx - 2 * ratio * sums.xy + ratio * ratio * sums.yy
    return max(0.0, squares) / (n - 1) * n / (sums.y * sums.y)


def _judged(
    metric: OutcomeMetric,
    primary: float,
    canary: float,
    lower: float,
    upper: float,
    alpha: float,
    intervals: tuple[Interval, Interval],
) -> Comparison:
    standing: Standing = "undecided"
    if lower > 0:
        standing = "better"
    elif upper < 0:
        standing = "worse"
    difference = canary - primary
    return Comparison(
        metric, standing, primary, canary, difference, lower, upper, alpha, *intervals
    )


def _no_data(
    metric: OutcomeMetric, primary: float | None, canary: float | None, alpha: float
) -> Comparison:
    return Comparison(metric, "no data", primary, canary, None, None, None, alpha)


def _share(sums: ArmSums) -> float | None:
    return sums.converted / sums.users if sums.users else None


def _ratio(sums: ArmSums) -> float | None:
    return sums.x / sums.y if sums.y else None


def _mean_interval(sample: Sample, alpha: float) -> Interval:
    """Return the means that the e-value does not refute at `alpha`."""
    needed = -math.log(alpha)
    lower = _border(lambda mean: log_e_value(sample, mean) >= needed, 0.0, sample.mean)
    upper = -_border(lambda mean: log_e_value(sample, -mean) >= needed, -1.0, -sample.mean)
    return Interval(lower, upper)


def _ratio_interval(sums: ArmSums, ratio: float, alpha: float) -> Interval:
    width = mixture_width(ratio_variance(sums), sums.users, alpha)
    return Interval(ratio - width, ratio + width)


def _border(is_refuted: Callable[[float], bool], low: float, high: float) -> float:
    """Return the least value from `low` to `high` that is not refuted; `high` is not."""
    if not is_refuted(low):
        return low
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if is_refuted(middle):
            low = middle
        else:
            high = middle
    return low
