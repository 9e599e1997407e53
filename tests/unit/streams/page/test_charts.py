"""The pictures: who answers whom, and how far a ramp has come."""

from __future__ import annotations

from typing import Any

from harness.cells import each_cell

from registry.wire.instants import Instant
from registry.wire.ramp_values import Finding, Verdict
from registry.wire.rollout_state import RolloutState
from streams.page.charts import arms, headline, rungs, worst_first
from tests.unit.streams.statuses import (
    NOW,
    a_canary,
    a_fleet_status,
    a_heartbeat,
    a_plan,
    a_ramp,
    a_state,
    a_status,
    an_arm,
)


@each_cell(
    ("state", "shares"),
    [
        (a_state(), [("primary", "v0.3", 100.0)]),
        (a_canary(10.0), [("primary", "v0.3", 90.0), ("canary", "v0.4", 10.0)]),
        (a_canary(0.0), [("primary", "v0.3", 100.0), ("canary", "v0.4", 0.0)]),
        (a_canary(50.0, strategy="fixed"), [("primary", "v0.3", 100.0)]),
        (a_canary(10.0, strategy="ab_test"), [("A", "v0.3", 50.0), ("B", "v0.4", 50.0)]),
        (a_canary(10.0, strategy="shadow"), [("primary", "v0.3", 100.0)]),
    ],
)
def test_the_split_is_what_the_strategy_gives(state: RolloutState, shares: Any) -> None:
    found = arms(a_status(rollout=state))
    assert [(arm.variant, arm.version, arm.percentage) for arm in found] == shares


@each_cell(
    ("given", "states"),
    [
        ({"stage": 0}, "current coming coming coming"),
        ({"stage": 2}, "done done current coming"),
        ({"stage": 2, "paused": True}, "done done current coming"),
        ({"stage": 2, "outcome": "rolled_back"}, "done done rolled_back coming"),
        ({"stage": 1, "outcome": "cancelled"}, "done cancelled coming coming"),
        ({"stage": 3, "outcome": "promoted"}, "done done done done"),
    ],
)
def test_each_stage_of_a_ramp_is_in_the_state_that_the_ramp_tells(given: Any, states: str) -> None:
    assert " ".join(rung.state for rung in rungs(a_ramp(**given), NOW)) == states


def test_the_present_stage_is_filled_by_the_share_of_its_hold_that_has_passed() -> None:
    assert [round(rung.filled, 2) for rung in rungs(a_ramp(1), NOW)] == [1.0, 0.4, 0.0, 0.0]


def test_a_stage_past_its_hold_is_full_and_one_without_a_hold_empty() -> None:
    late = a_ramp(1, plan=a_plan(hold_seconds=60))
    assert rungs(late, NOW)[1].filled == 1.0
    assert rungs(a_ramp(0), NOW)[0].filled == 0.0


def test_a_stage_that_began_by_a_clock_ahead_of_this_one_has_just_begun() -> None:
    (_, present, *_) = rungs(a_ramp(1, since=Instant.read("2026-11-23T12:00:05+00:00")), NOW)
    assert (present.spent_seconds, present.filled) == (0.0, 0.0)


def test_findings_are_ordered_by_verdict_and_otherwise_stay_as_they_were() -> None:
    verdicts: tuple[Verdict, ...] = ("pass", "fail", "inconclusive", "fail", "error")
    findings = [Finding(str(place), verdict, "") for place, verdict in enumerate(verdicts)]
    assert [finding.guardrail for finding in worst_first(findings)] == ["1", "3", "4", "2", "0"]


def test_the_headline_is_the_state_in_one_sentence() -> None:
    assert headline(a_status()) == "No version is deployed."
    assert headline(a_status(rollout=a_state())) == "strategy fixed, primary v0.3. Ready."
    state = a_canary(5.0, ramp=a_ramp())
    arms = (an_arm("canary", "v0.4", 2_000, errors=200), an_arm("primary", "v0.3", 38_000))
    assert headline(a_fleet_status(state, a_heartbeat(arms=arms))) == (
        "strategy canary, primary v0.3, canary v0.4 at 5 %, ramp at 5 % (stage 2 of 4), "
        "a guardrail is failing. Ready."
    )
