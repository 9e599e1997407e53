"""A ramp's plan against the traffic: refused, stretched, or as it is."""

from __future__ import annotations

from typing import Any

import pytest
from harness.cells import each_cell
from msgspec import UNSET

from registry.errors import RefusedCommand
from registry.guardrails.fleet_counts import traffic_of
from registry.ramp_plans.evidence_needs import needs_of, requests_to_pass
from registry.ramp_plans.ramp_traffic import LONGEST_HOLD_SECONDS, shortfalls
from registry.rollout.command_transitions import apply_command
from registry.rollout.ramp_decision import next_commands
from registry.rollout.trail_wording import ramp_words
from registry.wire.commands import Rollout
from registry.wire.ramp_values import Guardrails, Ramp, RampState, ShadowStep
from tests.unit.registry.builders import BEGAN, BEGAN_AT, a_heartbeat, a_plan, a_state

PLAN = a_plan(soak_seconds=0.0)
"""Steps of 10 and 100 %, a minute each; 1,110 requests are needed in each."""


def started(
    plan: Ramp = PLAN, fit: bool | None = False, traffic: float | None = 100.0, **given: Any
) -> RampState:
    command = Rollout("c1", "anna", canary_version="v0.2", ramp=plan, fit=fit, **given)
    after = apply_command(a_state(), command, epoch=8, at=BEGAN, problems={}, traffic=traffic)
    assert after.ramp is not None
    return after.ramp


def refusal(
    plan: Ramp = PLAN, fit: bool | None = False, traffic: float | None = 100.0
) -> RefusedCommand:
    with pytest.raises(RefusedCommand) as refused:
        started(plan, fit, traffic)
    return refused.value


def test_a_step_that_gets_too_few_requests_in_its_hold_is_refused_with_the_numbers() -> None:
    refused = refusal()
    assert refused.code == "too_little_traffic"
    assert (
        "the step of 10 % needs 1,110 canary requests (error_rate); at 100/s × 10 % that takes "
        "111 s, the hold is 60 s. It would be rolled back for want of evidence: give "
        "hold_seconds 111, or have it stretched with fit true (`--fit`)"
    ) in str(refused)


@each_cell("fit", [False, True])
def test_a_ramp_that_gets_enough_is_taken_as_it_is(fit: bool) -> None:
    ramp = started(fit=fit, traffic=185.0)
    assert (ramp.plan, ramp.asked) == (PLAN, None)
    assert refusal(traffic=184.9).code == "too_little_traffic"


@each_cell("traffic", [None, 0.0, 100.0])
def test_a_ramp_that_is_not_to_be_compared_is_taken_as_it_is(traffic: float | None) -> None:
    ramp = started(fit=None, traffic=traffic)
    assert (ramp.plan, ramp.asked, ramp.fit) == (PLAN, None, None)


@each_cell("fit", [False, True])
@each_cell(("traffic", "seen"), [(None, "no live worker"), (0.0, "report no requests")])
def test_without_any_traffic_no_stretching_helps(
    traffic: float | None, seen: str, fit: bool
) -> None:
    refused = refusal(fit=fit, traffic=traffic)
    assert refused.code == "no_traffic"
    assert seen in str(refused)


def test_a_ramp_that_fits_the_traffic_keeps_the_plan_that_was_asked_for() -> None:
    ramp = started(fit=True)
    assert (ramp.plan.hold_seconds, ramp.asked) == (111.0, PLAN)
    assert list(shortfalls(ramp.plan, 100.0)) == []
    words = ramp_words(ramp)
    assert words.endswith("hold stretched from 60 to 111 s for the traffic")


def test_patience_that_the_plan_names_counts_and_that_by_default_is_left_for_chance() -> None:
    assert refusal(a_plan(patience_seconds=50.0)).code == "too_little_traffic"
    assert "the hold with its patience is 110 s" in str(refusal(a_plan(patience_seconds=50.0)))
    assert started(a_plan(patience_seconds=51.0)).asked is None


def test_the_smaller_arm_decides() -> None:
    refused = str(refusal(a_plan(steps=(90.0,), hold_seconds=110.0)))
    assert "needs 1,110 requests of the primary version" in refused
    assert "at 100/s × 10 % that takes 111 s" in refused
    assert started(a_plan(steps=(50.0,), hold_seconds=22.2)).asked is None


def test_a_shadow_needs_its_comparisons() -> None:
    plan = a_plan(hold_seconds=111.0, shadow=ShadowStep(10.0, 0.5, sample_percentage=50.0))
    assert "the shadow needs 1,000 comparisons (min_compared); at 100/s × 50 %" in str(
        refusal(plan)
    )
    ramp = started(plan, fit=True)
    assert ramp.plan.shadow is not None
    assert (ramp.plan.shadow.hold_seconds, ramp.plan.hold_seconds) == (20.0, 111.0)
    assert ramp_words(ramp).endswith("shadow stretched from 10 to 20 s for the traffic")


def test_of_many_short_steps_the_first_are_named() -> None:
    plan = a_plan(steps=tuple(float(step) for step in range(1, 20)), hold_seconds=1.0)
    assert "the step of 3 %" in str(refusal(plan))
    assert "; 16 more steps are too short." in str(refusal(plan))


def test_a_ramp_that_would_take_months_is_refused_even_if_it_may_be_stretched() -> None:
    traffic = 1_110 / LONGEST_HOLD_SECONDS  # enough for all users, not for a tenth of them
    refused = refusal(fit=True, traffic=traffic)
    assert refused.code == "too_little_traffic"
    assert "start at a higher percentage, or allow wider limits" in str(refused)


def test_a_guardrail_that_no_traffic_satisfies_is_not_the_traffics_fault() -> None:
    never = a_plan(guardrails=Guardrails(error_rate=0.0))
    assert requests_to_pass(never)["error_rate"] is None
    assert started(never, traffic=1_000.0).asked is None


def test_what_the_traffic_is_compared_with_is_what_the_dry_run_shows() -> None:
    assert requests_to_pass(PLAN) == {need.guardrail: need.to_pass for need in needs_of(PLAN)}


def test_the_next_environment_gets_the_plan_that_was_asked_for_and_fits_it_anew() -> None:
    plan = a_plan()
    ramp = RampState(
        a_plan(hold_seconds=111.0), "deploy", 3, BEGAN,
        environments=("eu",), asked=plan, fit=True, version="v0.2",
    )  # fmt: skip
    state = a_state(primary_version="v0.2", ramp=ramp)
    from registry.rollout.command_log import ControlLog

    fleet = [a_heartbeat(at=BEGAN_AT + 60)]
    (hand_over,) = next_commands(ControlLog(7, state), fleet, BEGAN_AT + 60)
    assert isinstance(hand_over, Rollout)
    assert (hand_over.ramp, hand_over.fit, hand_over.environment) == (plan, True, "eu")


def test_only_a_ramp_is_fitted() -> None:
    command = Rollout("c1", "anna", strategy="shadow", canary_version="v0.2", fit=True)
    assert command.ramp is UNSET
    with pytest.raises(RefusedCommand, match="only a ramp"):
        apply_command(a_state(), command, epoch=8, at=BEGAN, problems={}, traffic=100.0)


def test_the_traffic_is_that_of_all_live_workers() -> None:
    now = BEGAN_AT + 60
    fleet = [
        a_heartbeat("w1", at=now, requests_per_second=40.0),
        a_heartbeat("w2", at=now - 4, requests_per_second=20.5),
        a_heartbeat("w3", at=now - 6, requests_per_second=99.0),
        a_heartbeat("w4", at=now, requests_per_second=99.0, stopping=True),
    ]
    assert traffic_of(fleet, now) == 60.5
    assert traffic_of(fleet[2:], now) is None
    assert traffic_of([a_heartbeat(at=now)], now) == 0
