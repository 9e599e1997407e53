"""Durations by bucket."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ShapeError
from registry.guardrails.histogram import (
    LEAST_BUCKET,
    LEAST_SECONDS,
    MAPPING,
    RELATIVE_ACCURACY,
    bounds_of,
    bucket_at,
    bucket_counts,
    quantile,
)

SOME = np.exp(np.random.default_rng(7).uniform(math.log(2e-6), math.log(1e4), 5000))


def test_buckets_are_those_of_the_library() -> None:
    assert bucket_counts(SOME) == dict(Counter(map(MAPPING.key, SOME.tolist())))


def test_pinned_buckets() -> None:
    """γ = 1.02/0.98 = 1.0408: ⌈ln 0.001 / ln γ⌉ = ⌈-172.67⌉, and 1 s ends its bucket."""
    assert bucket_counts(np.array([0.001, 1.0, 1.0, 1.05])) == {-172: 1, 0: 2, 2: 1}
    assert bounds_of(0) == pytest.approx((0.98 / 1.02, 1.0))


def test_no_durations_are_an_empty_histogram_without_a_quantile() -> None:
    assert bucket_counts(np.array([])) == {}
    assert quantile({}, 0.5) is None
    assert quantile({3: 0}, 0.5) is None


def test_zero_and_what_no_clock_can_tell_share_the_least_bucket_which_starts_at_zero() -> None:
    assert bucket_counts(np.array([0.0, 1e-300, 1e-7, LEAST_SECONDS])) == {LEAST_BUCKET: 4}
    assert bounds_of(LEAST_BUCKET).lower == 0.0
    assert bounds_of(LEAST_BUCKET).upper == pytest.approx(LEAST_SECONDS, rel=0.05)


@each_cell("bad", [-1e-9, -1.0, math.nan, math.inf, -math.inf])
def test_what_is_no_duration_is_refused_and_quoted(bad: float) -> None:
    with pytest.raises(ShapeError, match="finite and at least 0") as refused:
        bucket_counts(np.array([0.1, bad, 0.2]))
    assert str(bad) in str(refused.value)


def test_every_duration_lies_in_its_buckets_bounds() -> None:
    for second in SOME[:200].tolist():
        lower, upper = bounds_of(MAPPING.key(second))
        assert lower * (1 - 1e-12) < second <= upper * (1 + 1e-12)


@given(st.integers(1, 300), st.floats(0, 1))
def test_a_quantile_is_within_the_accuracy_of_the_exact_one(count: int, share: float) -> None:
    some = np.sort(SOME[:count])
    exact = float(some[max(1, math.ceil(share * count)) - 1])

    assert quantile(bucket_counts(some), share) == pytest.approx(exact, rel=RELATIVE_ACCURACY)


def test_the_sum_of_two_histograms_is_the_histogram_of_both() -> None:
    first, other = Counter(bucket_counts(SOME[:100])), Counter(bucket_counts(SOME[100:300]))

    assert first + other == bucket_counts(SOME[:300])


def test_ranks_count_from_one_to_the_number_of_durations() -> None:
    histogram = {5: 2, -3: 1}

    assert [bucket_at(histogram, rank) for rank in (1, 2, 3)] == [-3, 5, 5]
    for rank in (0, 4):
        with pytest.raises(ShapeError, match=f"rank {rank} of 3"):
            bucket_at(histogram, rank)


@each_cell("share", [-0.1, 1.1, math.nan])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ShapeError, match="between 0 and 1"):
        quantile({1: 1}, share)
