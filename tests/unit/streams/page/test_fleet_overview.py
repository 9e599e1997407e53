"""The overview: what all workers say together, and who of them still speaks."""

from __future__ import annotations

import pytest
from harness.cells import each_cell

from registry.guardrails.live_workers import LIVE_SECONDS
from registry.wire.counts import ArmCounts, ShadowCounts
from registry.wire.rollout_state import RolloutState
from streams.page.fleet_overview import shadow_of, split_of, traffic_of, workers_of
from tests.unit.streams.statuses import SECONDS, a_canary, a_heartbeat, a_state, an_arm


@each_cell(
    ("age", "stopping", "presence"),
    [
        (LIVE_SECONDS, False, "live"),
        (LIVE_SECONDS + 0.5, False, "silent"),
        (0.5, True, "stopped"),
        (100.0, True, "stopped"),
    ],
)
def test_a_worker_is_live_silent_or_stopped(age: float, stopping: bool, presence: str) -> None:
    (row,) = workers_of([a_heartbeat(at=SECONDS - age, stopping=stopping)], SECONDS)
    assert (row.presence, row.age_seconds) == (presence, age)


def test_workers_are_in_order_of_their_names() -> None:
    rows = workers_of([a_heartbeat("b"), a_heartbeat("a")], SECONDS)
    assert [row.heartbeat.worker for row in rows] == ["a", "b"]


def test_the_age_of_a_heartbeat_of_a_clock_that_is_ahead_is_not_known() -> None:
    (row,) = workers_of([a_heartbeat(at=SECONDS + 3)], SECONDS)
    assert (row.presence, row.age_seconds) == ("live", None)


def test_an_arm_without_answers_has_no_latency() -> None:
    (arm,) = traffic_of([an_arm("primary", "v0.3", 0, latency={}, scoring={})])
    assert (arm.p50_ms, arm.p99_ms, arm.scoring_ms) == (None, None, None)


def test_latencies_are_quantiles_of_the_histograms_in_milliseconds() -> None:
    (arm,) = traffic_of([an_arm("primary", "v0.3", latency={-172: 90, -40: 10}, scoring={-40: 1})])
    assert arm.p50_ms == pytest.approx(1.01, rel=0.02)
    assert arm.p99_ms == pytest.approx(198, rel=0.02)
    assert arm.scoring_ms == arm.p99_ms


def test_shadow_means_are_sums_over_what_was_compared() -> None:
    summary = shadow_of(ShadowCounts(4, 1, 2, 2.0, 1.0, -0.4, {-40: 4}, {}))
    assert (summary.overlap, summary.rank_biased_overlap, summary.score_shift) == (0.5, 0.25, -0.1)
    assert (summary.compared, summary.dropped, summary.failed) == (4, 1, 2)
    assert summary.canary_ms is None


def test_shadow_without_a_comparison_has_no_mean() -> None:
    summary = shadow_of(ShadowCounts(dropped=3))
    assert (summary.overlap, summary.rank_biased_overlap, summary.score_shift) == (None, None, None)


def test_the_split_is_checked_only_where_users_are_split() -> None:
    arms = (an_arm("primary", "v0.3"),)
    for state in (a_state(), a_canary(0.0), a_canary(100.0), a_canary(strategy="shadow")):
        assert split_of(state, arms) is None


@each_cell(
    ("state", "canary", "primary", "verdict"),
    [
        (a_canary(10.0), an_arm("canary", "v0.4", 1_000), an_arm("primary", "v0.3", 9_000), "pass"),
        (a_canary(10.0), an_arm("canary", "v0.4", 3_000), an_arm("primary", "v0.3", 9_000), "fail"),
        (a_canary(strategy="ab_test"), an_arm("B", "v0.4"), an_arm("A", "v0.3"), "pass"),
        (a_canary(strategy="ab_test"), an_arm("B", "v0.4", 10), an_arm("A", "v0.3"), "fail"),
        (a_canary(), an_arm("canary", "v0.4", 0), an_arm("primary", "v0.3", 0), "inconclusive"),
    ],
)
def test_the_split_of_users_is_judged_by_the_share_that_the_rule_gives(
    state: RolloutState, canary: ArmCounts, primary: ArmCounts, verdict: str
) -> None:
    finding = split_of(state, (canary, primary))
    assert finding is not None
    assert finding.verdict == verdict
