"""The soak's plan and its judgement; the soak itself is run in tests/integration/test_soak.py."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from harness.cells import each_cell

from ops.bench.rig.slopes import Slope, TimedFigure, judged, slope_of
from ops.bench.rig.soak_plan import AFTER_SECONDS, ALL_KINDS, KINDS, REST_SECONDS, WEIGHTS, planned
from registry.errors import ShapeError


@each_cell("seed", range(20))
def test_three_minutes_are_enough_for_each_kind_of_event(seed: int) -> None:
    plan = planned(180, seed)
    assert {event.kind for event in plan} == set(KINDS)
    assert plan == planned(180, seed)
    assert {event.kind for event in planned(300, seed, ALL_KINDS)} == set(ALL_KINDS)


def test_events_do_not_overlap_and_the_end_is_calm() -> None:
    plan = planned(3600, 3)
    for event, following in itertools.pairwise(plan):
        assert following.at - event.at >= 0.8 * AFTER_SECONDS[event.kind] - 0.2
    assert plan[-1].at < 3600 - REST_SECONDS
    assert set(WEIGHTS) == set(AFTER_SECONDS) == set(ALL_KINDS)


def test_another_seed_is_another_plan() -> None:
    assert planned(600, 1) != planned(600, 2)


def test_a_slope_is_found_through_noise_and_bursts() -> None:
    draw = np.random.default_rng(0)
    at = np.arange(0.0, 3600.0, 5.0)
    values = 100 + 3 * at / 3600 + draw.normal(0, 0.2, len(at))
    values[::50] += 40
    slope = slope_of([TimedFigure(*pair) for pair in zip(at, values, strict=True)])
    assert slope.lower < 3 < slope.upper
    assert slope.per_hour == pytest.approx(3, abs=0.2)


def test_what_stays_has_no_slope() -> None:
    assert slope_of([TimedFigure(float(at), 7.0) for at in range(10)]) == Slope(0.0, 0.0, 0.0)


def test_the_interval_is_sens_where_readings_and_times_are_tied() -> None:
    """As scipy.stats.theilslopes has it."""
    at = [0, 600, 600, 1200, 1800, 2400, 3000, 3600, 4200, 4800]
    values = [100, 101, 102, 103, 103, 140, 104, 107, 106, 109]
    slope = slope_of([TimedFigure(*pair) for pair in zip(at, values, strict=True)])
    assert slope == pytest.approx((6.0, 3.6, 9.0))


def test_two_readings_give_no_slope() -> None:
    with pytest.raises(ShapeError, match="2 readings"):
        slope_of([TimedFigure(0, 1), TimedFigure(1, 2)])


@each_cell(
    ("per_hour", "long_enough", "verdict"),
    [
        (0.99, True, "pass"),
        (-5.0, True, "pass"),
        (1.01, True, "fail"),
        (0.0, False, "inconclusive"),
        (99.0, False, "inconclusive"),
    ],
)
def test_a_slope_is_judged_only_where_the_run_was_long_enough(
    per_hour: float, long_enough: bool, verdict: str
) -> None:
    slope = Slope(per_hour, per_hour - 1, per_hour + 1)
    assert judged("grows", slope, 1.0, long_enough).verdict == verdict
