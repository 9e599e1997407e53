"""Intervals: against theory, against a slow twin, and of too few users."""

from __future__ import annotations

import numpy as np
import pytest
from harness.cells import each_cell

from training.judging import bootstrap as intervals
from training.judging.bootstrap import FEWEST_USERS, bootstrap


def test_a_mean_of_many_has_the_interval_that_theory_says() -> None:
    values = np.random.default_rng(5).normal(3.0, 2.0, (400, 1))

    (bounds,) = bootstrap(values, 1) or []

    error = float(values.std()) / 20
    mean = float(values.mean())
    assert bounds == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.2 * error)


def test_the_interval_of_a_difference_is_narrower_than_that_of_its_parts() -> None:
    random = np.random.default_rng(5)
    hard = random.normal(0, 1, 200)
    ours, theirs = hard + random.normal(0.1, 0.1, 200), hard + random.normal(0, 0.1, 200)

    first, other, difference = bootstrap(np.stack([ours, theirs, ours - theirs], axis=1), 1) or []

    assert first[0] < other[1]  # side by side they could be the same
    assert difference[0] > 0  # user by user they are not


def test_the_same_seed_gives_the_same_bounds_whatever_is_drawn_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(5).random((30, 2))
    whole = bootstrap(values, 7)

    monkeypatch.setattr(intervals, "DRAWS_AT_ONCE", 1_000)

    assert bootstrap(values, 7) == whole
    assert bootstrap(values, 8) != whole


def test_the_bounds_are_those_of_resampling_one_by_one() -> None:
    values = np.random.default_rng(5).random((25, 1))
    random = np.random.default_rng(7)
    means = [values[random.integers(0, 25, 25)].mean() for _ in range(intervals.RESAMPLES)]

    expected = np.quantile(means, (0.025, 0.975))

    assert bootstrap(values, 7) == [pytest.approx(tuple(expected))]


@each_cell("users", [0, 1, FEWEST_USERS - 1])
def test_of_too_few_users_no_interval_is_told(users: int) -> None:
    assert bootstrap(np.ones((users, 2)), 1) is None
