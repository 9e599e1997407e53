"""Simulated users of an experiment, some of them heavy, and the looks that are taken at them.

Draws users one after another in two arms, and evaluates many experiments at once, after each user:
the same formulas as `registry.outcomes.arm_comparison`, for arrays (a test compares the two).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from registry.outcomes.arm_comparison import LEAST_USERS
from registry.outcomes.ratio_bound import TIGHTEST_AT

Floats = NDArray[np.float64]

MOST_EXPOSURES: Final = 300
"""Of one user: the heaviest has a hundred times the median's answers."""


@dataclass(frozen=True, slots=True)
class Population:
    """Who takes part.

    Parameters
    ----------
    conversion
        Mean probability of an outcome for one answer; users differ, by a beta distribution.
    concentration
        Of that distribution: the smaller, the more users differ.
    tail
        Exponent of the Pareto distribution of exposures; its median is 3 with 1.3.
    """

    conversion: float = 0.2
    concentration: float = 2.0
    tail: float = 1.3


class Users(NamedTuple):
    """Outcomes, exposures and arms of shape (experiments, users); arm 1 is the canary's."""

    x: Floats
    y: Floats
    in_canary: NDArray[np.bool_]


class Alarms(NamedTuple):
    """The first user after whose closing a method claims a difference, by experiment; -1: never."""

    conversion: NDArray[np.int64]
    ratio: NDArray[np.int64]
    naive: NDArray[np.int64]


def draw_users(
    population: Population, shape: tuple[int, int], effect: float, rng: np.random.Generator
) -> Users:
    """Draw users; the canary's tastes are those of the primary's, times ``1 + effect``."""
    in_canary = rng.random(shape) < 0.5
    exposures = np.minimum(np.ceil(2 * (rng.pareto(population.tail, shape) + 0.5)), MOST_EXPOSURES)
    mean, spread = population.conversion, population.concentration
    tastes = rng.beta(mean * spread, (1 - mean) * spread, shape)
    tastes = np.minimum(tastes * np.where(in_canary, 1 + effect, 1.0), 1.0)
    outcomes = rng.binomial(exposures.astype(np.int64), tastes).astype(np.float64)
    return Users(outcomes, exposures, in_canary)


def look_at_every_user(users: Users, alpha: float) -> Alarms:
    """Evaluate each experiment after each of its users, by all three methods.

    ``naive`` takes each request for a unit, with the same e-value as ``conversion``.
    """
    arms = [~users.in_canary, users.in_canary]
    n = [_sums(arm) for arm in arms]
    converted = [_sums(arm & (users.x > 0)) for arm in arms]
    x = [_sums(arm * users.x) for arm in arms]
    y = [_sums(arm * users.y) for arm in arms]
    needed = -math.log(alpha / 2)
    return Alarms(
        _first(_log_e_of_difference(converted, n) >= needed),
        _first(_ratio_is_outside(users, arms, n, x, y, alpha)),
        _first(_log_e_of_difference(x, y) >= needed),
    )


def _ratio_is_outside(
    users: Users, arms: list[Any], n: list[Floats], x: list[Floats], y: list[Floats], alpha: float
) -> NDArray[np.bool_]:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios, variance = [], np.zeros_like(users.x)
        for arm, n_arm, x_arm, y_arm in zip(arms, n, x, y, strict=True):
            ratio = x_arm / y_arm
            squares = (
                _sums(arm * users.x**2)
                - 2 * ratio * _sums(arm * users.x * users.y)
                + ratio**2 * _sums(arm * users.y**2)
            )
            variance += np.maximum(squares, 0) / (n_arm - 1) * n_arm / y_arm**2
            ratios.append(ratio)
        count = n[0] + n[1]
        log_alpha = -2 * math.log(alpha)
        spread = count * (log_alpha + math.log(1 + log_alpha)) / TIGHTEST_AT
        crossing = np.log(np.sqrt(spread + 1) / alpha)
        width = np.sqrt(variance * 2 * (spread + 1) / spread * crossing)
        outside = np.abs(ratios[1] - ratios[0]) > width
    return outside & (np.minimum(*n) >= LEAST_USERS)


def _log_e_of_difference(seen: list[Floats], count: list[Floats]) -> Floats:
    """Return the evidence against equal means: the least of the product is at the pooled mean."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (seen[0] + seen[1]) / (count[0] + count[1])
    log_e = np.zeros_like(pooled)
    for s, n in zip(seen, count, strict=True):
        log_e += gammaln(s + 0.5) + gammaln(n - s + 0.5) - gammaln(n + 1) - math.log(math.pi)
        log_e -= xlogy(s, pooled) + xlogy(n - s, 1 - pooled)
    return np.where((count[0] > 0) & (count[1] > 0), log_e, 0.0)


def _sums(values: Any) -> Floats:
    return np.cumsum(values, axis=1, dtype=np.float64)


def _first(claimed: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.where(claimed.any(axis=1), claimed.argmax(axis=1), -1)
