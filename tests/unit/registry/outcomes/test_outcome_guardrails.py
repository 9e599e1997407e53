"""Guardrails and goals on outcomes: every verdict, by either metric and either margin."""

from __future__ import annotations

from typing import Any

import pytest

from registry.guardrails.evidence import Sample, log_e_value, log_evidence_of_excess
from registry.outcomes.outcome_guardrails import bar_of, goal_words, judge_goal, judge_outcomes
from registry.wire.outcome_records import ArmSums
from registry.wire.ramp_values import Finding, Goal, Guardrails, OutcomeMetric

ALPHA = 0.001


def arm(users: int, converted: int) -> ArmSums:
    """Users with two exposures each, of whom some had one outcome."""
    x, y = float(converted), 2.0 * users
    return ArmSums(users, converted, x, y, x, 2 * x, 4.0 * users)


def verdict_of(primary: ArmSums, canary: ArmSums, **limits: Any) -> Finding:
    (found,) = judge_outcomes(Guardrails(**limits), primary, canary, 0.5, ALPHA)
    return found


@pytest.mark.parametrize("metric", ["conversion", "outcomes_per_exposure"])
def test_a_guardrail_on_outcomes_has_each_verdict(metric: str) -> None:
    some = arm(10_000, 4_000)
    absolute = {"outcome_margin": "absolute", metric: 0.1 if metric == "conversion" else 0.05}
    for canary, limits, verdict in (
        (arm(10_000, 4_000), {metric: 0.1}, "pass"),
        (arm(10_000, 5_000), {metric: 0.01}, "pass"),
        (arm(10_000, 3_000), {metric: 0.1}, "fail"),
        (arm(10_000, 3_600), {metric: 0.1}, "inconclusive"),  # at the bar
        (arm(10_000, 4_000), absolute, "pass"),
        (arm(10_000, 2_000), absolute, "fail"),
        (arm(10_000, 3_000), absolute, "inconclusive"),
        (arm(0, 0), {metric: 0.1}, "inconclusive"),
        (arm(20_000, 8_000), {metric: 0.1}, "error"),  # the split is not the rule's
    ):
        found = verdict_of(some, canary, **limits)
        assert (found.guardrail, found.verdict) == (metric, verdict), found.message


def test_no_outcome_at_all_is_never_good() -> None:
    for users, verdict in ((10, "inconclusive"), (10_000, "error")):
        found = verdict_of(arm(users, 0), arm(users, 0), conversion=0.05, outcome_margin="absolute")
        assert found.verdict == verdict
        assert "RECSTREAM_OUTCOME_EVENTS" in found.message


def test_a_guardrail_that_is_off_says_nothing() -> None:
    assert judge_outcomes(Guardrails(), arm(10, 1), arm(10, 1), 0.5, ALPHA) == ()


@pytest.mark.parametrize("metric", ["conversion", "outcomes_per_exposure"])
def test_a_goal_is_met_refuted_or_not_clear_yet(metric: OutcomeMetric) -> None:
    some = arm(20_000, 8_000)
    for better_by, converted, verdict in (
        (0.0, 8_800, "pass"),
        (0.0, 8_000, "inconclusive"),
        (0.0, 7_200, "fail"),
        (0.05, 9_600, "pass"),
        (0.1, 8_800, "inconclusive"),
        (0.1, 8_000, "fail"),  # futile: as good as the primary is not good enough
        (-0.1, 8_000, "pass"),  # no worse than that
        (-0.1, 6_000, "fail"),
    ):
        goal = Goal(metric, better_by=better_by)
        users, found = judge_goal(goal, some, arm(20_000, converted), 0.5, ALPHA)
        assert (users.guardrail, users.verdict) == ("min_users", "pass")
        assert (found.guardrail, found.verdict) == ("goal", verdict), (better_by, converted)


def test_a_goal_needs_its_users_in_each_arm() -> None:
    goal = Goal("conversion", min_users=500)
    users, _ = judge_goal(goal, arm(499, 200), arm(520, 200), 0.5, ALPHA)
    assert users.verdict == "inconclusive"
    users, found = judge_goal(goal, arm(0, 0), arm(0, 0), 0.5, ALPHA)
    assert (users.verdict, found.verdict) == ("inconclusive", "inconclusive")
    assert found.message.startswith("no data yet: ")


def test_the_evidence_against_a_ratio_is_the_least_over_all_pairs_within_it() -> None:
    larger, smaller, ratio = Sample(300, 1000), Sample(350, 1000), 0.7
    seen = log_evidence_of_excess(larger, smaller, 0.0, ratio)
    grid = [place / 10_000 for place in range(1, 10_000)]
    slow = min(log_e_value(larger, ratio * p) + log_e_value(smaller, p) for p in grid)
    assert seen == pytest.approx(slow, abs=1e-5)
    assert log_evidence_of_excess(larger, smaller, 0.02, 1.0) == log_evidence_of_excess(
        larger, smaller, 0.02
    )


def test_goals_are_said_in_words() -> None:
    assert bar_of(0.0, "absolute").words == "the primary's"
    assert goal_words(Goal("outcomes_per_exposure", -0.01, "absolute", inconclusive="promote")) == (
        "promoted only if outcomes per exposure exceeds the primary's minus 0.01; promoted if that "
        "stays unclear"
    )
