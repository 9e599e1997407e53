"""Evidence: how strongly a sample speaks against a mean or a quantile, valid at any time.

Pure numbers, and the verdict they give (:func:`verdict_of`). Must not know guardrails or versions.

All of it rests on one e-process, that of a mean of values in [0, 1] (:func:`log_e_value`): if the
hypothesized mean is true, it ever exceeds ``1 / alpha`` with a probability of at most ``alpha``,
however often it is checked (Ville's inequality). Formulas, papers, arithmetic and limits:
``docs/explanation/guardrails.md``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from registry.guardrails.histogram import DurationBounds, bounds_of, bucket_at
from registry.wire.ramp_values import Verdict

HALVINGS: Final = 45
"""Of an interval within [0, 1]: the place of a minimum to 3e-14, its value to far below that."""

LOOKS_REMEMBERED: Final = 256
"""Answers of the two searches. A ramp is judged twice a second, and again for every page and gauge,
mostly by the same counts."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Observations in [0, 1]: their sum and their number, of which there is at least one."""

    total: float
    count: int

    @property
    def mean(self) -> float:
        """Their mean."""
        return self.total / self.count


def log_e_value(sample: Sample, mean: float) -> float:
    """Return the natural logarithm of the evidence against `mean`.

    ``E = B(½ + s, ½ + n - s) / (B(½, ½) p^s (1 - p)^(n - s))``: the likelihood of the sample, mixed
    over Jeffreys' prior (Krichevsky and Trofimov's estimator), over its likelihood at ``p``; the
    method of mixtures (Robbins 1970; Howard et al. 2021). At the true mean, E is a nonnegative
    martingale that starts at 1; of fractional observations it is a supermartingale, because
    ``a^x b^(1-x) <= a x + b (1-x)``.

    Parameters
    ----------
    sample
        ``s`` and ``n``.
    mean
        ``p``, 0..1. What 0 or 1 makes impossible is infinite evidence.

    Examples
    --------
    >>> round(math.exp(log_e_value(Sample(10, 10), 0.5)), 1)  # ten heads of a coin: 2^10 · 0.176
    180.4
    """
    seen, missing = sample.total, sample.count - sample.total
    mixed = math.lgamma(seen + 0.5) + math.lgamma(missing + 0.5) - math.lgamma(sample.count + 1)
    return mixed - math.log(math.pi) - _times_log(seen, mean) - _times_log(missing, 1 - mean)


def log_evidence_above(sample: Sample, mean: float) -> float:
    """Return the log evidence that the true mean is above `mean`.

    The least of :func:`log_e_value` over all means up to `mean`: it is convex, so that is the one
    next to the sample's.
    """
    return log_e_value(sample, min(sample.mean, mean))


def log_evidence_below(sample: Sample, mean: float) -> float:
    """Return the log evidence that the true mean is below `mean`, as in the other direction."""
    return log_e_value(sample, max(sample.mean, mean))


@lru_cache(maxsize=LOOKS_REMEMBERED)
def log_evidence_of_excess(
    larger: Sample, smaller: Sample, margin: float, ratio: float = 1.0
) -> float:
    """Return the log evidence that one mean exceeds `ratio` times another by more than `margin`.

    The least of ``log E_l(p_l) + log E_s(p_s)`` over ``p_l <= ratio · p_s + margin``. At the true
    means the product of two independent martingales is one, in whatever order observations come;
    the least over all pairs that are still allowed is below it, so it is an e-process for them all.
    (Turner and Grünwald 2023 treat the same tables.) It is convex: outside of the sample's own
    means, which are not evidence (E <= 1), the least is where both sides are equal, and the slope
    changes its sign.

    Parameters
    ----------
    larger, smaller
        The two samples.
    margin
        -1..1; a negative one asks whether `larger` is at least not that much smaller.
    ratio
        Above 0; 0.95 asks whether `larger` is more than 95 % of `smaller`.

    Examples
    --------
    >>> round(log_evidence_of_excess(Sample(60, 1200), Sample(0, 20_000), 0.01), 1)
    40.3
    """
    mean_larger, mean_smaller = larger.mean, smaller.mean
    if mean_larger > ratio * mean_smaller + margin:
        mean_smaller = _closest(larger, smaller, margin, ratio)
        mean_larger = ratio * mean_smaller + margin
    return log_e_value(larger, mean_larger) + log_e_value(smaller, mean_smaller)


@lru_cache(maxsize=LOOKS_REMEMBERED)
def rank_bounds(count: int, share: float, alpha: float) -> tuple[int, int]:
    """Return how many of `count` observations may lie below a quantile, at least and at most.

    A confidence sequence: at all times together, the number is outside with a probability of at
    most `alpha`. Each observation is below the `share` quantile with probability `share`, so the
    numbers are those that :func:`log_e_value` does not refute.

    Examples
    --------
    >>> rank_bounds(1000, 0.9, 0.001)
    (854, 940)
    """
    needed = -math.log(alpha)

    def refuted(below: int) -> bool:
        return log_e_value(Sample(below, count), share) >= needed

    numbers = range(count + 1)
    least = bisect_left(numbers, True, key=lambda k: k >= share * count or not refuted(k))
    above_most = bisect_left(numbers, True, key=lambda k: k > share * count and refuted(k))
    return least, above_most - 1


def quantile_bounds(histogram: Mapping[int, int], share: float, alpha: float) -> DurationBounds:
    """Return a confidence sequence for the `share` quantile of durations, in seconds.

    Howard and Ramdas 2022: between the order statistics of the :func:`rank_bounds`; here, between
    the outer edges of their buckets. So neither ties nor the buckets' width can make it too narrow.

    Parameters
    ----------
    histogram
        Durations by bucket; at least one.
    share
        Which quantile, 0..1 exclusive.
    alpha
        Most probability that it is ever outside, 0..1 exclusive.
    """
    count = sum(histogram.values())
    least, most = rank_bounds(count, share, alpha)
    return DurationBounds(
        lower=bounds_of(bucket_at(histogram, least)).lower if least else 0.0,
        upper=bounds_of(bucket_at(histogram, most + 1)).upper if most < count else math.inf,
    )


def _closest(larger: Sample, smaller: Sample, margin: float, ratio: float) -> float:
    """Return the ``p`` where ``E_l(ratio p + margin) · E_s(p)`` is least, by its slope."""
    low, high = max(smaller.mean, -margin / ratio), min((larger.mean - margin) / ratio, 1.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if ratio * _slope(larger, ratio * middle + margin) + _slope(smaller, middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _slope(sample: Sample, mean: float) -> float:
    """Return the derivative of :func:`log_e_value` by `mean`."""
    excess = sample.count * mean - sample.total
    variance = mean * (1 - mean)
    if variance > 0:
        return excess / variance
    return math.copysign(math.inf, excess) if excess else 0.0


def _times_log(weight: float, value: float) -> float:
    """Return ``weight · log(value)``, with ``0 · log(0) = 0``."""
    if not weight:
        return 0.0
    return weight * math.log(value) if value > 0 else -math.inf


PASS_ALPHA: Final = 0.05
"""Most probability that one guardrail ever passes, in one stage, a canary beyond its limit. Looser
than what fails one: a pass only lets the next step begin, which judges anew, while a false alarm
ends the ramp; and it halves the requests that a good version needs."""


def verdict_of(log_e_worse: float, log_e_good: float, alpha: float) -> Verdict:
    """Weigh the evidence for and against; at most one side has any, the other is at most 1."""
    if log_e_worse >= -math.log(alpha):
        return "fail"
    return "pass" if log_e_good >= -math.log(pass_alpha(alpha)) else "inconclusive"


def pass_alpha(alpha: float) -> float:
    """Return the most probability that a canary beyond its limit ever passes."""
    return max(alpha, PASS_ALPHA)
