"""A ramp with a goal: in which step it decides, and what follows from each verdict."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec.structs import replace

from registry.errors import ConfigurationError, RefusedCommand
from registry.ramp_plans.false_alarm import alpha_of
from registry.ramp_plans.outcome_requirements import OutcomeTerms, require_outcomes
from registry.ramp_plans.ramp_durations import arithmetic_of, patience_seconds
from registry.ramp_plans.ramp_stages import stages_of
from registry.ramp_plans.ramp_validation import require_plan
from registry.rollout.command_log import ControlLog
from registry.rollout.policy_file import RolloutFile, parse_policy
from registry.rollout.ramp_decision import look, next_commands
from registry.rollout.rollout_transition import refusal_beside
from registry.wire.commands import Abort, Promote
from registry.wire.field_types import Variant
from registry.wire.heartbeats import Heartbeat
from registry.wire.outcome_records import ArmSums, PartitionSums
from registry.wire.ramp_values import Goal, Guardrails, InterleaveStep, Ramp
from tests.unit.registry.builders import (
    BEGAN_AT,
    a_command,
    a_heartbeat,
    a_plan,
    a_ramp,
    a_ramping_state,
    an_arm,
)

JOINED = OutcomeTerms(True, 10.0, math.inf, math.inf)


def a_goal_plan(goal: Goal | None = None, **given: Any) -> Ramp:
    fields = {"steps": (50.0,), "soak_seconds": 0.0, "goal": goal or Goal("conversion")}
    return a_plan(**fields | given)


def arms(primary: int, canary: int, users: int = 20_000) -> tuple[PartitionSums, ...]:
    """Users with one exposure each, of whom some converted."""
    converted: dict[Variant, int] = {"primary": primary, "canary": canary}
    return tuple(
        PartitionSums(7, 0, variant, ArmSums(users, x, float(x), users, float(x), float(x), users))
        for variant, x in converted.items()
    )


def a_fleet(outcomes: tuple[PartitionSums, ...]) -> tuple[Heartbeat, ...]:
    technically_fine = (an_arm("primary", "v0.1"), an_arm("canary", "v0.2"))
    return (a_heartbeat(arms=technically_fine, outcomes=outcomes),)


def look_at(plan: Ramp, outcomes: tuple[PartitionSums, ...], elapsed: float) -> Any:
    state = a_ramping_state(a_ramp(plan=plan), canary_percentage=50.0)
    now = BEGAN_AT + elapsed
    fleet = tuple(
        Heartbeat(**{name: getattr(each, name) for name in each.__struct_fields__} | {"at": now})
        for each in a_fleet(outcomes)
    )
    seen = look(state, fleet, now)
    assert seen is not None
    return seen, next_commands(ControlLog(7, state), fleet, now)


EARLY, DUE, OVERDUE = 30.0, 70.0, 60.0 + 180.0 + 10.0
SAME, BETTER, WORSE, FEW = (
    arms(8_000, 8_000),
    arms(8_000, 9_000),
    arms(8_000, 7_000),
    arms(40, 40, 99),
)


@pytest.mark.parametrize(
    ("policy", "outcomes", "elapsed", "action"),
    [
        ("roll_back", BETTER, EARLY, "hold"),
        ("roll_back", BETTER, DUE, "advance"),
        ("roll_back", SAME, DUE, "hold"),
        ("roll_back", SAME, OVERDUE, "roll_back"),
        ("roll_back", WORSE, EARLY, "roll_back"),
        ("roll_back", (), DUE, "hold"),
        ("roll_back", (), OVERDUE, "roll_back"),
        ("promote", SAME, DUE, "hold"),
        ("promote", SAME, OVERDUE, "advance"),
        ("promote", WORSE, OVERDUE, "roll_back"),
        ("promote", FEW, OVERDUE, "roll_back"),
        ("promote", (), OVERDUE, "roll_back"),
        ("promote", arms(0, 0), OVERDUE, "roll_back"),
        ("promote", arms(0, 0, 150), OVERDUE, "roll_back"),
        ("promote", arms(60, 60, 150), OVERDUE, "advance"),
    ],
)
def test_the_goal_decides_by_its_verdict_and_its_policy(
    policy: Any, outcomes: tuple[PartitionSums, ...], elapsed: float, action: str
) -> None:
    plan = a_goal_plan(Goal("conversion", min_users=100, inconclusive=policy))
    seen, commands = look_at(plan, outcomes, elapsed)
    assert seen.action == action, seen.findings
    kinds = {"hold": (), "advance": (Promote,), "roll_back": (Abort,)}[action]
    assert tuple(type(command) for command in commands) == kinds


def test_the_command_says_what_users_liked() -> None:
    for outcomes, elapsed, words in (
        (
            BETTER,
            DUE,
            "step of 50 %: all guardrails pass, and the goal is met: conversion 45.00% of",
        ),
        (
            WORSE,
            EARLY,
            "step of 50 %: fail; goal: conversion 35.00% of 20,000 users against 40.00%",
        ),
    ):
        _, (command,) = look_at(a_goal_plan(), outcomes, elapsed)
        assert command.reason.startswith(words), command.reason
    plan = a_goal_plan(Goal("conversion", inconclusive="promote"))
    _, (command,) = look_at(plan, SAME, OVERDUE)
    assert "the goal stayed unclear, which promotes: conversion 40.00%" in command.reason


def test_a_guardrail_on_outcomes_rolls_back_a_canary_that_is_technically_fine() -> None:
    plan = a_plan(steps=(50.0, 100.0), guardrails=Guardrails(conversion=0.02))
    seen, (command,) = look_at(plan, WORSE, EARLY)
    assert [each.guardrail for each in seen.findings if each.verdict == "fail"] == ["conversion"]
    assert isinstance(command, Abort)


def test_the_goal_is_judged_in_the_last_step_below_100_percent() -> None:
    plan = a_goal_plan(Goal("conversion", patience_seconds=900), steps=(5.0, 50.0, 100.0))
    stages = stages_of(plan)
    assert [stage.percentage for stage in stages if stage.decides] == [50.0]
    assert not any(stage.decides for stage in stages_of(a_plan(steps=(5.0, 50.0))))
    usual = patience_seconds(plan)
    without = arithmetic_of(a_plan(steps=(5.0, 50.0, 100.0), soak_seconds=0.0))
    assert arithmetic_of(plan).to_promote_at_most == without.to_promote_at_most - usual + 900


def test_false_alarms_are_split_over_the_goal_and_its_check_of_the_split_as_well() -> None:
    without, outcomes = Guardrails(), Guardrails(conversion=0.1, outcomes_per_exposure=0.1)
    for goal, guardrails, judged in (
        (None, without, 5),
        (Goal("conversion"), without, 7),
        (None, outcomes, 8),
        (Goal("conversion"), outcomes, 9),
    ):
        plan = a_plan(steps=(50.0,), soak_seconds=0.0, goal=goal, guardrails=guardrails)
        assert alpha_of(plan) == plan.false_alarm / (2 * judged)


@pytest.mark.parametrize(
    "given", [{"goal": Goal("conversion")}, {"guardrails": Guardrails(outcomes_per_exposure=0.1)}]
)
def test_outcomes_need_a_step_with_users_of_the_primary(given: Any) -> None:
    from registry.wire.ramp_values import ShadowStep

    plan = a_plan(steps=(100.0,), shadow=ShadowStep(10, 0.5), **given)
    require_outcomes(plan, JOINED)  # is asked first, and leaves this refusal to the plan's rules
    with pytest.raises(RefusedCommand, match="need a step below 100 %"):
        require_plan(plan, "modulo")


def test_a_margin_of_all_that_the_primary_has_is_refused() -> None:
    for name in ("conversion", "outcomes_per_exposure"):
        guardrails = replace(Guardrails(), **{name: 1.0})
        with pytest.raises(RefusedCommand, match=f"ramp.guardrails.{name}: 1 of what") as refused:
            require_plan(a_plan(guardrails=guardrails), "modulo")
        assert refused.value.code == "bad_ramp"
        for sound in ({"outcome_margin": "absolute"}, {name: 0.99}):
            require_plan(a_plan(guardrails=replace(guardrails, **sound)), "modulo")


def test_only_steps_that_outcomes_decide_must_outlast_a_window() -> None:
    goal = Goal("conversion", patience_seconds=86_400)
    plan = a_plan(steps=(1.0, 10.0, 50.0, 100.0), hold_seconds=600, soak_seconds=0.0, goal=goal)
    hour = JOINED._replace(window_seconds=3_600.0, outcomes_kept_seconds=90_600.0)
    require_outcomes(plan, hour)
    for each, refused_terms, words in (
        (plan, hour._replace(outcomes_kept_seconds=90_599.0), "this ramp needs 90600 s"),
        (plan, hour._replace(window_seconds=87_000.0), "goal.patience_seconds"),
        (replace(plan, guardrails=Guardrails(conversion=0.1)), hour, "stage takes at most 2400 s"),
        (replace(plan, goal=None, interleave=InterleaveStep(60)), hour, "takes at most 1860 s"),
    ):
        with pytest.raises(RefusedCommand, match=words):
            require_outcomes(each, refused_terms)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        (JOINED, None),
        (JOINED._replace(are_joined=False), "set RECSTREAM_OUTCOMES=on"),
        (JOINED._replace(window_seconds=240.0), "no attribution window closes before 240 s"),
        (JOINED._replace(outcomes_kept_seconds=249.0), "the outcome topic keeps records for 249 s"),
        (JOINED._replace(outcomes_kept_seconds=250.0), None),
        (JOINED._replace(answers_kept_seconds=19.0), "the response topic keeps records for 19 s"),
    ],
)
def test_a_fleet_that_cannot_know_outcomes_refuses(terms: OutcomeTerms, words: str | None) -> None:
    require_outcomes(a_plan(), terms)  # nothing is decided by outcomes
    if words is None:
        require_outcomes(a_goal_plan(), terms)
        return
    with pytest.raises(RefusedCommand, match=words) as refused:
        require_outcomes(a_goal_plan(), terms)
    assert refused.value.code == "no_outcomes"


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        ("{metric: clicks}", "ramp.goal.metric"),
        ("{metric: conversion, better_by: 1.5}", "ramp.goal.better_by"),
        ("{metric: conversion, better_by: -1}", "ramp.goal.better_by"),
        ("{metric: conversion, false_promotion: 0}", "ramp.goal.false_promotion"),
        ("{metric: conversion, by: 1}", "allowed: metric, better_by"),
    ],
)
def test_a_bad_goal_in_a_file_is_refused_by_its_field(goal: str, words: str) -> None:
    text = f"canary_version: v0.2\nramp: {{steps: [50], hold_seconds: 60, goal: {goal}}}\n"
    with pytest.raises(ConfigurationError, match=words):
        parse_policy(RolloutFile, text, "ramp.yaml")


def test_a_ramp_by_outcomes_waits_until_no_worker_of_an_earlier_release_is_live() -> None:
    for plan in (a_goal_plan(), a_plan(interleave=InterleaveStep(60))):
        command = a_command("rollout", canary_version="v0.2", ramp=plan)
        refusal = refusal_beside(command, {"w1"})
        assert refusal is not None
        assert "a ramp that is decided by outcomes: not known to workers of" in str(refusal)
        assert refusal_beside(command, ()) is None
