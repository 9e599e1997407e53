"""Evidence: pinned numbers, and what holds however often one looks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.guardrails.evidence import (
    Sample,
    log_e_value,
    log_evidence_above,
    log_evidence_below,
    log_evidence_of_excess,
    quantile_bounds,
    rank_bounds,
)
from registry.guardrails.histogram import bounds_of, bucket_counts

counted = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
samples = counted.map(lambda pair: Sample(*pair))
chances = st.floats(0.001, 0.999)


def test_pinned_e_values() -> None:
    """B(1½, ½)/B(½, ½) = 1/2, B(½, 2½)/B(½, ½) = 3/8, B(1½, 1½)/B(½, ½) = 1/8."""
    assert math.exp(log_e_value(Sample(1, 1), 0.5)) == pytest.approx(0.5 / 0.5)
    assert math.exp(log_e_value(Sample(0, 2), 0.25)) == pytest.approx(0.375 / 0.5625)
    assert math.exp(log_e_value(Sample(1, 2), 0.25)) == pytest.approx(0.125 / 0.1875)


@given(chances)
def test_one_observation_multiplies_the_evidence_by_one_on_average(mean: float) -> None:
    expected = sum(
        math.comb(12, seen) * mean**seen * (1 - mean) ** (12 - seen)
        * math.exp(log_e_value(Sample(seen, 12), mean))
        for seen in range(13)
    )  # fmt: skip
    assert expected == pytest.approx(1)


@given(st.integers(1, 50), st.floats(0, 1), chances)
def test_fractions_are_never_more_evidence_than_a_coin_of_that_chance(
    count: int, fraction: float, mean: float
) -> None:
    """``E(x) <= x E(1) + (1 - x) E(0)``, so their expectation is at most that of coins."""
    before = count - 1
    weights = {
        value: math.exp(log_e_value(Sample(before / 2 + value, count), mean))
        for value in (0, fraction, 1)
    }
    most = fraction * weights[1] + (1 - fraction) * weights[0]
    assert weights[fraction] <= most * (1 + 1e-9)


@given(samples, chances)
def test_success_and_failure_are_symmetric(sample: Sample, mean: float) -> None:
    mirrored = Sample(sample.count - sample.total, sample.count)
    assert log_e_value(sample, mean) == pytest.approx(
        log_e_value(mirrored, 1 - mean), rel=1e-6, abs=1e-6
    )


@given(samples, chances)
def test_evidence_of_more_grows_with_each_success(sample: Sample, mean: float) -> None:
    """Where there is any; below 1, an e-value says nothing."""
    more = Sample(min(sample.total + 1, sample.count), sample.count)
    before = max(log_evidence_above(sample, mean), 0)
    assert max(log_evidence_above(more, mean), 0) >= before - 1e-9


@given(samples, chances)
def test_there_is_never_evidence_for_both_directions(sample: Sample, mean: float) -> None:
    assert min(log_evidence_above(sample, mean), log_evidence_below(sample, mean)) <= 1e-9


def test_what_a_chance_makes_impossible_is_infinite_evidence() -> None:
    assert log_e_value(Sample(1, 9), 0.0) == math.inf
    assert log_e_value(Sample(8, 9), 1.0) == math.inf
    assert log_e_value(Sample(0, 9), 0.0) <= 0
    assert log_e_value(Sample(9, 9), 1.0) <= 0


@given(samples, samples, st.floats(-1, 1))
def test_the_evidence_of_an_excess_is_the_least_over_all_allowed_pairs(
    larger: Sample, smaller: Sample, margin: float
) -> None:
    seen = log_evidence_of_excess(larger, smaller, margin)

    if larger.mean <= smaller.mean + margin:
        assert seen <= 1e-9
    else:
        low, high = max(0.0, -margin), min(1.0, 1.0 - margin)
        line = [low + (high - low) * step / 300 for step in range(301)]
        pairs = (
            log_e_value(larger, min(max(p + margin, 0.0), 1.0)) + log_e_value(smaller, p)
            for p in line
        )
        assert seen <= min(pairs) + 1e-6


def test_the_least_over_all_allowed_pairs_is_found_and_not_merely_undercut() -> None:
    larger, smaller = Sample(30, 400), Sample(20, 2000)
    grid = np.linspace(0.0101, 0.2, 40_000)
    pairs = [log_e_value(larger, p + 0.02) + log_e_value(smaller, p) for p in grid[::40]]

    assert log_evidence_of_excess(larger, smaller, 0.02) == pytest.approx(min(pairs), abs=1e-3)


@given(samples, samples, st.floats(0, 0.3))
def test_a_canary_is_never_both_worse_and_not_worse(
    canary: Sample, primary: Sample, margin: float
) -> None:
    worse = log_evidence_of_excess(canary, primary, margin)
    good = log_evidence_of_excess(primary, canary, -margin)
    assert min(worse, good) <= 1e-9


def test_a_right_hypothesis_is_rarely_refuted_however_often_one_looks() -> None:
    """And looking at a classical test as often does refute it, far more often than it says."""
    random, mean, alpha, runs = np.random.default_rng(11), 0.02, 0.05, 400
    seen = random.binomial(50, mean, (runs, 200)).cumsum(axis=1)
    counts = 50 * np.arange(1, 201)
    z = np.abs(seen - counts * mean) / np.sqrt(counts * mean * (1 - mean))
    suspect = (z > 2).any(axis=1)  # no e-value reaches 20 within two standard deviations
    refuted = sum(
        any(
            log_e_value(Sample(int(seen[run, look]), int(counts[look])), mean) >= math.log(20)
            for look in np.flatnonzero(z[run] > 2)
        )
        for run in np.flatnonzero(suspect)
    )

    assert 0 < refuted / runs <= alpha
    assert (z > 1.96).any(axis=1).mean() > 5 * alpha


# Quantiles


def test_pinned_rank_bounds_hold_what_is_not_refuted() -> None:
    least, most = rank_bounds(1000, 0.9, 0.001)

    assert (least, most) == (854, 940)
    refuted = [log_e_value(Sample(k, 1000), 0.9) >= math.log(1000) for k in range(1001)]
    assert [k for k in range(1001) if not refuted[k]] == list(range(854, 941))


@given(st.integers(1, 5000), st.floats(0.5, 0.999))
def test_the_quantiles_own_rank_is_never_refuted(count: int, share: float) -> None:
    least, most = rank_bounds(count, share, 0.001)
    assert least <= math.ceil(share * count)
    assert most >= math.floor(share * count)


def test_few_durations_leave_a_high_quantile_without_an_upper_bound() -> None:
    assert quantile_bounds({0: 20}, 0.99, 0.001).upper == math.inf
    assert quantile_bounds({0: 1}, 0.5, 0.001) == (0.0, math.inf)


def test_ties_widen_the_bounds_to_the_edges_of_their_bucket() -> None:
    assert quantile_bounds({0: 10_000}, 0.9, 0.001) == bounds_of(0)


def test_a_quantile_stays_within_its_bounds_while_it_is_looked_at() -> None:
    random, truth = np.random.default_rng(5), math.exp(1.2815515655446004)
    outside = 0
    for _ in range(20):
        times = random.lognormal(0, 1, 2000)
        bounds = [quantile_bounds(bucket_counts(times[:n]), 0.9, 0.05) for n in (20, 200, 2000)]
        outside += not all(bound.lower <= truth <= bound.upper for bound in bounds)

    assert outside <= 2
