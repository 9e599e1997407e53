import numpy as np
import pytest
from harness.cells import each_cell

from ops.bench.rig import figures
from ops.bench.rig.figures import (
    Window,
    at_least,
    at_most,
    latency_of,
    sustained,
    used_between,
    where_cores_allow,
)
from registry.errors import ShapeError


def test_a_rate_leaves_out_how_a_backlog_begins_and_ends() -> None:
    steady = np.arange(0.0, 6_000.0)
    at_once = np.zeros(3_000)
    trickle = 6_000.0 + np.arange(1.0, 11.0) * 1_000
    assert sustained(np.concatenate([at_once, steady, trickle])).per_second == pytest.approx(1000)


def test_the_order_of_the_times_does_not_matter() -> None:
    times = np.arange(0.0, 1_000.0)
    assert sustained(times[::-1].copy()) == sustained(times)


def test_times_of_every_hundredth_record_stand_for_a_hundred_each() -> None:
    assert sustained(np.arange(0.0, 1_000.0), each=100).per_second == 100_000


def test_batches_make_a_rate_noisy_but_not_wrong() -> None:
    """Bursts of 2,000 every 100 ms are 20,000 a second, wherever the window's ends fall."""
    rates = [
        sustained(np.repeat(np.arange(100) * 100.0, 2_000)[cut:]).per_second
        for cut in range(0, 4_000, 250)
    ]
    assert np.mean(rates) == pytest.approx(20_000, rel=0.01)
    assert max(rates) < 20_000 * 1.03


@each_cell("times", [[], [1.0], [5.0] * 1_000])
def test_times_that_are_not_apart_give_no_rate(times: list[float]) -> None:
    with pytest.raises(ShapeError, match=f"{len(times)} times are too few for a rate"):
        sustained(np.array(times))


def test_what_was_used_is_read_off_between_the_samples() -> None:
    samples = [(0.0, 10.0), (1_000.0, 11.0), (2_000.0, 13.0)]
    assert used_between(Window(500, 1_500, 1), samples) == pytest.approx(1.5)


def test_quantiles_are_of_the_times_themselves() -> None:
    seen = latency_of(np.arange(0.0, 101.0))
    assert (seen.p50_ms, seen.p99_ms, seen.max_ms) == (50.0, 99.0, 100.0)


@each_cell(
    ("bar", "verdict"),
    [
        (at_least("x", 1.5, 1.5), "pass"),
        (at_least("x", 1.49, 1.5), "fail"),
        (at_most("x", 2.0, 2.0), "pass"),
        (at_most("x", 2.01, 2.0), "fail"),
    ],
)
def test_a_bar_is_passed_when_it_is_reached(bar: figures.Claim, verdict: str) -> None:
    assert bar.verdict == verdict


@each_cell(
    ("seen", "busy", "verdict"),
    [
        (1.7, 0.99, "pass"),
        (1.2, 0.99, "inconclusive"),
        (1.2, 0.90, "inconclusive"),
        (1.2, 0.89, "fail"),
    ],
)
def test_a_missed_ratio_counts_only_where_a_core_was_left(
    seen: float, busy: float, verdict: str
) -> None:
    assert where_cores_allow(at_least("two", seen, 1.6), busy).verdict == verdict
