"""Finds the seconds of simulated ramps in which a guardrail could fail, for all ramps at once.

A guardrail that compares rates weighs the *least* evidence over all pairs of rates that it allows.
So if a single pair, close to the most likely one, is not rejected, it cannot fail.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ops.bench.offline.ramp_counts import Counts, Floats, SimulatedArm
from registry.guardrails.evidence import rank_bounds
from registry.guardrails.histogram import MAPPING
from registry.guardrails.rate_guardrails import RATES
from registry.ramp_plans.false_alarm import alpha_of
from registry.wire.ramp_values import Ramp

Mask = NDArray[np.bool_]

ROUNDING: Final = 1e-6
"""Tolerance: the evidence that NumPy computes may be too small by this much."""


def possible_failures(
    canary: SimulatedArm,
    primary: SimulatedArm,
    plan: Ramp,
    percentage: float,
    *,
    compare_users: bool,
) -> Mask:
    """Return the seconds in which a guardrail could fail: bool (runs, seconds)."""
    limits, alpha = plan.guardrails, alpha_of(plan)
    found = np.zeros(canary.requests.shape, dtype=np.bool_)
    for rate in RATES:
        margin = getattr(limits, rate.guardrail)
        if margin is not None:
            found |= _rate_suspects(canary, primary, rate.field, margin, alpha)
    if limits.latency_ratio is not None:
        ratio, share = limits.latency_ratio, limits.latency_quantile
        found |= _latency_suspects(canary, primary, ratio, share, alpha)
    if limits.sample_ratio and compare_users:
        users = canary.users + primary.users
        expected = np.float64(percentage / 100)
        found |= _log_e(canary.users, users, expected) >= _needed(alpha)
    return found


def _rate_suspects(
    canary: SimulatedArm, primary: SimulatedArm, field: str, margin: float, alpha: float
) -> Mask:
    """Weigh the evidence at the pair of rates closest to the counts (least squares)."""
    bad, count = canary.bad[field], canary.requests
    other_bad, other_count = primary.bad[field], primary.requests
    pooled = (bad + other_bad - margin * count) / (count + other_count)
    chance = np.clip(pooled, 0.0, 1.0 - margin)
    log_e = _log_e(bad, count, chance + margin) + _log_e(other_bad, other_count, chance)
    worse = bad * other_count > (other_bad + margin * other_count) * count
    suspects: Mask = worse & (log_e >= _needed(alpha))
    return suspects


def _latency_suspects(
    canary: SimulatedArm, primary: SimulatedArm, ratio: float, share: float, alpha: float
) -> Mask:
    """Compare the bounds of the quantiles by bucket; `ratio` is rounded down to whole buckets."""
    slow, fast = canary.scoring.cumsum(axis=2), primary.scoring.cumsum(axis=2)
    least = _ranks(slow[..., -1], share, alpha)[..., 0]
    most = _ranks(fast[..., -1], share, alpha)[..., 1]
    buckets = math.floor(math.log(ratio) / math.log(MAPPING.gamma))
    upper = (fast <= most[..., None]).sum(axis=2) + buckets
    within = np.broadcast_to(upper, least.shape) < slow.shape[2]
    place = np.where(within, upper, 0)[..., None]
    below = np.take_along_axis(slow, place, axis=2)[..., 0]
    suspects: Mask = within & (below < least)
    return suspects


def _ranks(counts: Counts, share: float, alpha: float) -> Counts:
    """Return `rank_bounds` of each count: int64 (..., 2)."""
    present, places = np.unique(counts, return_inverse=True)
    bounds = [_rank_bounds(int(count), share, alpha) for count in present]
    return np.array(bounds, dtype=np.int64)[places.reshape(counts.shape)]


_rank_bounds = lru_cache(maxsize=None)(
    lambda count, share, alpha: rank_bounds(count, share, alpha / 2) if count else (0, 0)
)


def _needed(alpha: float) -> float:
    return -math.log(alpha) - ROUNDING


def _log_e(total: Counts, count: Counts, mean: Floats | np.float64) -> Floats:
    """Return `registry.guardrails.evidence.log_e_value` for arrays."""
    halves, wholes = _log_gammas(int(count.max()).bit_length())
    missing = count - total
    mixed = halves[total] + halves[missing] - wholes[count] - math.log(math.pi)
    log_e: Floats = mixed - _times_log(total, mean) - _times_log(missing, 1 - mean)
    return log_e


def _times_log(weight: Counts, value: Floats | np.float64) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight > 0, weight * np.log(value), 0.0)


@lru_cache(maxsize=4)
def _log_gammas(bits: int) -> tuple[Floats, Floats]:
    """Return log Γ(k + ½) and log Γ(k + 1) for k of 0..2^bits."""
    k = np.arange(2**bits)
    halves = math.lgamma(0.5) + np.concatenate(([0.0], np.log(k + 0.5).cumsum()))
    return halves, np.concatenate(([0.0], np.log(k + 1.0).cumsum()))
