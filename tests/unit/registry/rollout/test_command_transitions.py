"""The rollout rules: every cell of the transition table, and what each command refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from harness.cells import each_cell
from msgspec.structs import replace

from registry.errors import RefusedCommand
from registry.ramp_plans.ramp_stages import stage_of
from registry.rollout.assignment import HASH_BUCKETS
from registry.rollout.command_transitions import (
    PREVIOUS_VERSIONS_KEPT,
    TRANSITIONS,
    Transition,
    apply_command,
    versions_named,
)
from registry.rollout.current_phase import is_compared, phase_of, words_for
from registry.rollout.ramp_transitions import ramp_under_way
from registry.rollout.rollout_transition import refusal_beside
from registry.wire.codec import decode, encode
from registry.wire.commands import Command, CommandType
from registry.wire.field_types import ID_CHARACTERS
from registry.wire.instants import Instant, read_instant, write_instant
from registry.wire.ramp_values import Finding, Guardrails, InterleaveStep, Outcome, ShadowStep
from registry.wire.rollout_state import RolloutState
from tests.unit.registry.builders import (
    BEGAN,
    a_canary_state,
    a_command,
    a_plan,
    a_ramp,
    a_ramping_state,
    a_soaking_state,
    a_state,
    an_arm,
)

NOW = Instant.read("2026-01-01T00:05:00.000+00:00")


def ended(stage: int, outcome: Outcome, **given: Any) -> Any:
    return a_ramp(stage, outcome=outcome, **given)


def paused(stage: int) -> Any:
    return a_ramp(stage, paused=True)


STATES: dict[str, RolloutState | None] = {
    "empty": None,
    "fixed": a_state(previous_versions=("v0.0",)),
    "canary": a_canary_state(),
    "ab_test": a_canary_state(strategy="ab_test"),
    "shadow": a_canary_state(strategy="shadow"),
    "interleave": a_canary_state(strategy="interleave"),
    "ramping": a_ramping_state(),
    "ramping, paused": a_ramping_state(paused(1)),
    "soaking": a_soaking_state(),
    "soaking, paused": a_soaking_state(paused(3)),
}
"""A state of each phase; those with a ramp also while it is paused."""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "swap": {"model_version": "v0.3"},
    "rollout": {"strategy": "canary", "canary_version": "v0.3", "canary_percentage": 25.0},
    "step": {"step": 2},
}

NO_RAMP = {"pause": "no_ramp", "resume": "no_ramp", "step": "no_ramp"}
ON_TRIAL = {
    "rollout": a_canary_state(canary_version="v0.3", canary_percentage=25.0),
    "promote": a_state(primary_version="v0.2", previous_versions=("v0.1", "v0.0")),
    "rollback": a_state(primary_version="v0.0"),
    "abort": a_state(previous_versions=("v0.0",)),
}
SWAPPED = {"primary_version": "v0.3", "previous_versions": ("v0.1", "v0.0")}
SOAKED = {"primary_version": "v0.2", "previous_versions": ("v0.1", "v0.0")}
PAUSED = {"paused": True}

ROWS: dict[str, dict[str, RolloutState | str]] = {
    "empty": {
        "swap": a_state(primary_version="v0.3"),
        **dict.fromkeys(
            ("rollout", "promote", "rollback", "abort", "pause", "resume", "step"), "no_state"
        ),
    },
    "fixed": {
        "swap": a_state(**SWAPPED),
        "rollout": a_canary_state(canary_version="v0.3", canary_percentage=25.0),
        "promote": "no_canary",
        "rollback": a_state(primary_version="v0.0"),
        "abort": "no_canary",
        **NO_RAMP,
    },
    "canary": {"swap": a_canary_state(**SWAPPED), **ON_TRIAL, **NO_RAMP},
    "ab_test": {"swap": a_canary_state(strategy="ab_test", **SWAPPED), **ON_TRIAL, **NO_RAMP},
    "shadow": {"swap": a_canary_state(strategy="shadow", **SWAPPED), **ON_TRIAL, **NO_RAMP},
    "interleave": {"swap": a_canary_state(strategy="interleave", **SWAPPED), **ON_TRIAL, **NO_RAMP},
    "ramping": {
        "swap": a_canary_state(**SWAPPED, ramp=ended(1, "cancelled")),
        "rollout": replace(ON_TRIAL["rollout"], ramp=ended(1, "cancelled")),
        "promote": a_soaking_state(a_ramp(3, since=NOW)),
        "rollback": replace(ON_TRIAL["rollback"], ramp=ended(1, "rolled_back")),
        "abort": replace(ON_TRIAL["abort"], ramp=ended(1, "rolled_back")),
        "pause": a_ramping_state(paused(1)),
        "resume": "ramp_not_paused",
        "step": a_ramping_state(a_ramp(2, since=NOW), canary_percentage=100.0),
    },
    "ramping, paused": {
        "swap": a_canary_state(**SWAPPED, ramp=ended(1, "cancelled", **PAUSED)),
        "rollout": replace(ON_TRIAL["rollout"], ramp=ended(1, "cancelled", **PAUSED)),
        "promote": a_soaking_state(a_ramp(3, since=NOW)),
        "rollback": replace(ON_TRIAL["rollback"], ramp=ended(1, "rolled_back", **PAUSED)),
        "abort": replace(ON_TRIAL["abort"], ramp=ended(1, "rolled_back", **PAUSED)),
        "pause": "ramp_paused",
        "resume": a_ramping_state(a_ramp(1, since=NOW)),
        "step": "ramp_paused",
    },
    "soaking": {
        "swap": a_state(
            primary_version="v0.3",
            previous_versions=("v0.2", "v0.1", "v0.0"),
            ramp=ended(3, "cancelled"),
        ),
        "rollout": a_canary_state(
            **SOAKED, canary_version="v0.3", canary_percentage=25.0, ramp=ended(3, "cancelled")
        ),
        "promote": "no_canary",
        "rollback": a_state(previous_versions=("v0.0",), ramp=ended(3, "rolled_back")),
        "abort": a_state(**SOAKED, ramp=ended(3, "cancelled")),
        "pause": a_soaking_state(paused(3)),
        "resume": "ramp_not_paused",
        "step": a_state(**SOAKED, ramp=ended(3, "promoted")),
    },
    "soaking, paused": {
        "swap": a_state(
            primary_version="v0.3",
            previous_versions=("v0.2", "v0.1", "v0.0"),
            ramp=ended(3, "cancelled", **PAUSED),
        ),
        "rollout": a_canary_state(
            **SOAKED,
            canary_version="v0.3",
            canary_percentage=25.0,
            ramp=ended(3, "cancelled", **PAUSED),
        ),
        "promote": "no_canary",
        "rollback": a_state(previous_versions=("v0.0",), ramp=ended(3, "rolled_back", **PAUSED)),
        "abort": a_state(**SOAKED, ramp=ended(3, "cancelled", **PAUSED)),
        "pause": "ramp_paused",
        "resume": a_soaking_state(a_ramp(3, since=NOW)),
        "step": "ramp_paused",
    },
}
"""What becomes of the states above: the state after the command, or the refusal's code."""

CELLS = {(name, kind): outcome for name, row in ROWS.items() for kind, outcome in row.items()}


def arguments(name: str, kind: str) -> dict[str, Any]:
    """Return what the command needs; the step after the soak, of stages 0..3, is its end."""
    return {"step": 4} if (name, kind) == ("soaking", "step") else ARGUMENTS.get(kind, {})


def applied(
    state: RolloutState | None, command: Command, problems: dict[str, str] | None = None
) -> RolloutState:
    return apply_command(state, command, epoch=8, at=NOW, problems=problems or {})


def refusal_of(
    state: RolloutState | None, command: Command, problems: dict[str, str] | None = None
) -> RefusedCommand:
    with pytest.raises(RefusedCommand) as refused:
        applied(state, command, problems)
    return refused.value


def rules_of(state: RolloutState) -> tuple[Any, ...]:
    return (
        state.strategy,
        state.primary_version,
        state.canary_version,
        state.canary_percentage,
        state.bucketing,
        state.salt,
        state.previous_versions,
        state.shadow_sample_percentage,
        state.ramp,
    )


def test_the_table_has_every_cell_of_phase_and_command_that_changes_a_state() -> None:
    commands = set(get_args(CommandType)) - {"retrain", "begin_era"}
    assert all(set(row) == commands for row in ROWS.values())
    assert all(phase_of(state) == name.split(",")[0] for name, state in STATES.items())
    assert set(TRANSITIONS) == {(name.split(",")[0], kind) for name, kind in CELLS}


A_PLAN = a_plan(shadow=ShadowStep(60, 0.5), interleave=InterleaveStep(60), soak_seconds=60)
TRIED: tuple[Command, ...] = (
    *(a_command("swap", model_version=version) for version in ("v0.1", "v0.2", "v0.3")),
    *(
        a_command("rollout", strategy=strategy, canary_version="v0.2")
        for strategy in ("fixed", "canary", "ab_test", "shadow", "interleave")
    ),
    a_command("rollout", canary_version="v0.3", ramp=A_PLAN),
    a_command("rollout", canary_version="v0.2", ramp=A_PLAN),
    a_command("rollout", canary_version="v0.3", ramp=replace(A_PLAN, soak_seconds=0.0)),
    *(a_command("step", step=step) for step in range(1, 7)),
    *(a_command(kind) for kind in ("promote", "rollback", "abort", "pause", "resume")),
)
"""Enough commands to walk along every arrow that there is."""


def walked() -> Iterator[tuple[str, str, str]]:
    """Yield phase, command and the phase after it, for every state that can be reached."""
    reached: set[RolloutState | None] = set()
    waiting: list[RolloutState | None] = [None]
    while waiting:
        state = waiting.pop()
        if state in reached:
            continue
        reached.add(state)
        for command in TRIED:
            try:
                after = apply_command(state, command, epoch=0, at=NOW, problems={})
            except RefusedCommand:
                continue
            yield phase_of(state), command.type, phase_of(after)
            waiting.append(replace(after, previous_versions=after.previous_versions[:1]))


def test_the_table_names_all_phases_that_commands_lead_to_and_no_others() -> None:
    named = {
        (phase, kind, after)
        for (phase, kind), cell in TRANSITIONS.items()
        if isinstance(cell, Transition)
        for after in cell.to
    }
    assert set(walked()) == named


def test_versions_are_compared_while_users_are_in_two_arms_or_a_ramp_is_under_way() -> None:
    compared = {name for name, state in STATES.items() if state and is_compared(state)}
    assert compared == set(STATES) - {"empty", "fixed", "shadow", "interleave"}
    assert not is_compared(a_state(ramp=ended(3, "promoted")))


@each_cell("cell", CELLS, ids="-".join)
def test_each_cell_does_what_its_row_says(cell: tuple[str, Any]) -> None:
    name, kind = cell
    state, outcome = STATES[name], CELLS[cell]
    for expected in (None, state.epoch if state else -1):
        command = a_command(kind, expected_epoch=expected, reason="why", **arguments(*cell))
        if isinstance(outcome, str):
            assert refusal_of(state, command).code == outcome
        else:
            after = applied(state, command)
            assert rules_of(after) == rules_of(outcome)
            assert (after.epoch, after.environment) == (8, "production")
            assert (after.updated_at, after.updated_by, after.reason) == (NOW, "anna", "why")


@each_cell("cell", CELLS, ids="-".join)
def test_each_cell_refuses_an_epoch_that_is_not_the_current_one(cell: tuple[str, Any]) -> None:
    name, kind = cell
    for stale in (6, 8, 0, 7 if name == "empty" else -1):
        command = a_command(kind, expected_epoch=stale, **arguments(*cell))
        refused = refusal_of(STATES[name], command)
        assert refused.code == "stale_epoch"
        assert str(stale) in str(refused)
        assert ("7" if name != "empty" else "no state yet") in str(refused)


def test_the_loser_of_two_operators_is_told_what_changed_and_who_did_it() -> None:
    state = a_canary_state(updated_by="berta", updated_at=NOW)
    refused = str(refusal_of(state, a_command("promote", expected_epoch=6)))
    assert f"berta changed it at {NOW}: {words_for(state)}" in refused


@each_cell("kind", ["swap", "rollout"])
def test_a_version_that_cannot_be_served_is_refused_with_its_problem(kind: CommandType) -> None:
    command = a_command(kind, **ARGUMENTS[kind])
    refused = refusal_of(STATES["fixed"], command, {"v0.3": "als/titles.json is missing"})
    assert refused.code == "unusable_version"
    assert "v0.3" in str(refused)
    assert "als/titles.json is missing" in str(refused)


@each_cell("name", ["0.3", "v0.03", "../v0.3", "v0.3\n", "latest"])
def test_a_version_of_another_form_is_refused(name: str) -> None:
    assert refusal_of(STATES["fixed"], a_command("swap", model_version=name)).code == "bad_version"
    rollout = a_command("rollout", canary_version=name)
    assert refusal_of(STATES["fixed"], rollout).code == "bad_version"


def test_a_swap_needs_a_version() -> None:
    assert refusal_of(STATES["fixed"], a_command("swap")).code == "missing_version"


def test_a_swap_to_the_primary_changes_no_rule() -> None:
    state = a_canary_state()
    after = applied(state, a_command("swap", model_version="v0.1"))
    assert rules_of(after) == rules_of(state)


def test_a_swap_to_the_canary_version_ends_its_trial() -> None:
    after = applied(a_canary_state(), a_command("swap", model_version="v0.2"))
    assert (after.strategy, after.primary_version) == ("fixed", "v0.2")
    assert (after.canary_version, after.canary_percentage) == (None, 0.0)


def test_a_rollout_changes_only_the_fields_given() -> None:
    state = a_canary_state(bucketing="hash", salt="s")
    after = applied(state, a_command("rollout", canary_percentage=25.0))
    assert rules_of(after) == rules_of(
        a_canary_state(canary_percentage=25.0, bucketing="hash", salt="s")
    )


@each_cell(
    ("given_fields", "code"),
    [
        ({}, "nothing_given"),
        ({"strategy": "ab"}, "bad_strategy"),
        ({"bucketing": "random"}, "bad_bucketing"),
        ({"strategy": "canary"}, "no_canary"),
        ({"canary_version": "v0.1"}, "canary_is_primary"),
    ],
)
def test_a_rollout_that_makes_no_sense_is_refused(given_fields: dict[str, Any], code: str) -> None:
    assert refusal_of(a_state(), a_command("rollout", **given_fields)).code == code


@each_cell("bucketing", ["modulo", "hash"])
@each_cell("percentage", [-0.01, -1, 100.01, 101, math.nan, math.inf, -math.inf])
def test_a_percentage_outside_of_0_to_100_is_refused(bucketing: str, percentage: float) -> None:
    command = a_command("rollout", canary_percentage=percentage, bucketing=bucketing)
    refused = refusal_of(a_canary_state(), command)
    assert refused.code == "bad_percentage"
    assert f"{percentage:g}" in str(refused)
    assert "between 0 and 100" in str(refused)


def test_modulo_takes_whole_percentages_and_names_hash_for_finer_ones() -> None:
    refused = refusal_of(a_canary_state(), a_command("rollout", canary_percentage=0.5))
    assert refused.code == "bad_percentage"
    assert "hash" in str(refused)
    finer = a_command("rollout", canary_percentage=0.5, bucketing="hash")
    assert applied(a_canary_state(), finer).canary_percentage == 0.5


def test_hash_takes_steps_of_a_hundredth_and_nothing_finer() -> None:
    state = a_canary_state(bucketing="hash")
    for hundredths in range(0, HASH_BUCKETS + 1, 7):
        applied(state, a_command("rollout", canary_percentage=hundredths / 100))
    refused = refusal_of(state, a_command("rollout", canary_percentage=0.005))
    assert refused.code == "bad_percentage"


def test_a_change_to_modulo_is_refused_while_the_percentage_is_a_fraction() -> None:
    state = a_canary_state(bucketing="hash", canary_percentage=0.5)
    assert refusal_of(state, a_command("rollout", bucketing="modulo")).code == "bad_percentage"


def test_rollback_goes_back_step_by_step_until_nothing_is_remembered() -> None:
    state: RolloutState = a_state(primary_version="v0.1")
    for minor in range(2, PREVIOUS_VERSIONS_KEPT + 5):
        state = applied(state, a_command("swap", model_version=f"v0.{minor}"))
    assert len(state.previous_versions) == PREVIOUS_VERSIONS_KEPT
    for _ in range(PREVIOUS_VERSIONS_KEPT):
        state = applied(state, a_command("rollback"))
    assert state.primary_version == "v0.4"
    refused = refusal_of(state, a_command("rollback"))
    assert refused.code == "no_previous"
    assert "v0.4" in str(refused)


def test_a_version_is_remembered_once() -> None:
    state = a_state()
    for version in ("v0.2", "v0.1", "v0.2", "v0.1"):
        state = applied(state, a_command("swap", model_version=version))
    assert (state.primary_version, state.previous_versions) == ("v0.1", ("v0.2",))


def test_every_version_that_would_begin_to_answer_is_named() -> None:
    state = a_canary_state(previous_versions=("v0.8", "v0.7"))
    assert versions_named(None, a_command("swap", model_version="v0.3")) == ("v0.3",)
    assert versions_named(state, a_command("rollout", canary_version="v0.3")) == ("v0.3",)
    assert versions_named(state, a_command("rollout", canary_percentage=3.0)) == ()
    assert versions_named(state, a_command("promote")) == (state.canary_version,)
    assert versions_named(state, a_command("rollback")) == ("v0.8",)
    assert versions_named(a_state(), a_command("rollback")) == ()
    assert versions_named(state, a_command("abort")) == ()
    assert versions_named(state, a_command("step", step=1)) == (state.canary_version,)
    assert versions_named(a_soaking_state(), a_command("step", step=1)) == ()
    assert versions_named(None, a_command("promote")) == ()


# --- ramps ----------------------------------------------------------------------------------

STAGED = a_ramping_state(
    a_ramp(0, a_plan(shadow=ShadowStep(60, 0.5, 20.0), interleave=InterleaveStep(60))),
    canary_percentage=0.0,
)
"""Stages: preparing, shadowing, interleaving, 10 %, 100 %, soaking."""

NEW_RAMP = replace(a_ramp(0, since=NOW), ramp_id="c1", version="v0.3")
"""What `a_ramp_command` starts."""


def a_ramp_command(plan: Any = None, **given: Any) -> Command:
    return a_command("rollout", **{"canary_version": "v0.3", "ramp": plan or a_plan()} | given)


@each_cell("name", [name for name in STATES if name != "empty"])
def test_a_ramp_starts_from_any_state_with_no_user_in_the_canary(name: str) -> None:
    after = applied(STATES[name], a_ramp_command(salt="spring", bucketing="hash"))
    assert (after.strategy, after.canary_version, after.canary_percentage) == ("canary", "v0.3", 0)
    assert (after.bucketing, after.salt) == ("hash", "spring")
    assert after.ramp is not None
    assert stage_of(after.ramp).kind == "preparing"
    assert after.ramp == NEW_RAMP


def test_a_ramp_may_take_the_canary_version_that_is_there() -> None:
    after = applied(a_canary_state(), a_command("rollout", ramp=a_plan()))
    assert (after.canary_version, after.canary_percentage) == ("v0.2", 0)
    assert after.ramp is not None
    assert after.ramp.version == "v0.2"


def test_a_new_ramp_takes_the_place_of_the_one_under_way_and_keeps_nothing_of_it() -> None:
    found = (Finding("error_rate", "pass", "fine"),)
    under_way = a_ramping_state(a_ramp(findings=found, baseline=an_arm("primary", "v0.1")))
    after = applied(under_way, a_ramp_command())
    assert after.ramp == NEW_RAMP


@each_cell(
    ("plan", "given_fields", "code"),
    [
        ({"steps": (10.0, 10.0)}, {}, "bad_ramp"),
        ({"steps": (50.0, 10.0)}, {}, "bad_ramp"),
        ({"steps": (0.5,)}, {}, "bad_percentage"),
        ({"steps": (0.005,)}, {"bucketing": "hash"}, "bad_percentage"),
        ({"steps": (100.0,)}, {}, "bad_ramp"),
        ({"hold_seconds": 0.0}, {}, "bad_ramp"),
        ({}, {"strategy": "canary"}, "bad_ramp"),
        ({}, {"canary_percentage": 5.0}, "bad_ramp"),
        ({}, {"shadow_sample_percentage": 5.0}, "bad_ramp"),
        ({}, {"canary_version": "v0.1"}, "canary_is_primary"),
        ({}, {"environments": ()}, "bad_ramp"),
        ({}, {"environments": ("eu",)}, "bad_ramp"),
        ({}, {"environments": ("production", "eu", "eu")}, "bad_ramp"),
        ({}, {"environments": ("production", "x" * ID_CHARACTERS)}, "bad_ramp"),
    ],
)
def test_a_ramp_that_makes_no_sense_is_refused(
    plan: dict[str, Any], given_fields: dict[str, Any], code: str
) -> None:
    assert refusal_of(a_state(), a_ramp_command(a_plan(**plan), **given_fields)).code == code


def test_a_ramp_that_begins_with_everybody_is_taken_if_shadowing_comes_before() -> None:
    plan = a_plan(steps=(100.0,))
    refused = refusal_of(a_state(), a_ramp_command(plan))
    assert "the first is 100; without a shadow before it" in str(refused)
    shadowed = a_ramp_command(replace(plan, shadow=ShadowStep(60, 0.5)))
    assert ramp_under_way(applied(a_state(), shadowed)) is not None


@each_cell("origin", ["ramp", "training"])
@each_cell("name", STATES)
def test_a_ramp_that_nobody_started_by_hand_ends_nothing_that_is_under_way_here(
    name: str, origin: str
) -> None:
    state = STATES[name]
    arriving = replace(a_ramp_command(), origin=origin)
    if state is None:
        assert refusal_of(state, arriving).code == "no_state"
    elif name == "fixed":
        assert applied(state, arriving).ramp == NEW_RAMP
    else:
        refused = refusal_of(state, arriving)
        assert refused.code == "trial_under_way"
        assert f"production has a trial of its own ({words_for(state)})" in str(refused)


def test_a_ramp_from_another_environment_begins_where_the_last_one_has_ended() -> None:
    state = a_state(ramp=ended(3, "rolled_back"))
    after = applied(state, replace(a_ramp_command(), origin="ramp"))
    assert after.ramp == NEW_RAMP


def test_a_ramp_without_a_hold_is_taken_if_it_has_patience() -> None:
    plan = a_plan(hold_seconds=0.0, patience_seconds=30.0)
    assert ramp_under_way(applied(a_state(), a_ramp_command(plan))) is not None


def test_a_ramp_needs_a_canary_version() -> None:
    assert refusal_of(a_state(), a_command("rollout", ramp=a_plan())).code == "no_canary"


def test_environments_without_a_ramp_are_refused() -> None:
    command = a_command("rollout", canary_percentage=5.0, environments=("production", "eu"))
    assert refusal_of(a_canary_state(), command).code == "bad_ramp"


def test_a_refusal_stays_small_whatever_was_asked_for() -> None:
    """The control log remembers the refusals of hundreds of commands in one record."""
    names = tuple("x" * 190 + str(number) for number in range(100))
    for environments in (names, ("production", *names, names[0])):
        refused = refusal_of(a_state(), a_ramp_command(environments=environments))
        assert len(str(refused)) < 600


def test_the_environments_after_this_one_are_kept_and_the_chain_keeps_its_id() -> None:
    first = a_ramp_command(environments=("production", "eu", "us"))
    ramp = applied(a_state(), first).ramp
    assert ramp is not None
    assert (ramp.ramp_id, ramp.environments) == ("c1", ("eu", "us"))

    second = replace(
        first,
        command_id="c1@eu",
        environment="eu",
        environments=("eu", "us"),
        origin="ramp",
        ramp_id="c1",
    )
    ramp = applied(a_state(environment="eu"), second).ramp
    assert ramp is not None
    assert (ramp.ramp_id, ramp.environments) == ("c1", ("us",))


def test_an_id_that_is_long_enough_for_the_first_environment_is_so_for_all() -> None:
    longest = "x" * (ID_CHARACTERS - len("@production"))
    environments: tuple[str, ...] = ("production", "eu", "us")
    command_id = longest
    while environments:
        command = replace(
            a_ramp_command(environments=environments),
            command_id=command_id,
            environment=environments[0],
        )
        assert decode(Command, encode(command)) == command
        ramp = applied(a_state(environment=environments[0]), command).ramp
        assert ramp is not None
        environments = ramp.environments
        command_id = f"{ramp.ramp_id}@{environments[0]}" if environments else ""
    refused = refusal_of(
        a_state(),
        replace(a_ramp_command(environments=("production", "eu")), command_id=longest + "x"),
    )
    assert refused.code == "bad_ramp"


@each_cell(
    ("step", "strategy", "percentage", "sample"),
    [
        (1, "shadow", 0.0, 20.0),
        (2, "interleave", 0.0, 20.0),
        (3, "canary", 10.0, 20.0),
        (4, "canary", 100.0, 20.0),
    ],
)
def test_a_step_sets_what_its_stage_says(
    step: int, strategy: str, percentage: float, sample: float
) -> None:
    after = applied(STAGED, a_command("step", step=step))
    assert (after.strategy, after.canary_percentage) == (strategy, percentage)
    assert after.shadow_sample_percentage == sample
    assert after.ramp is not None
    assert (after.ramp.stage, after.ramp.since) == (step, NOW)


@each_cell("step", [-1, 0, 1, 3, 4])
def test_a_step_goes_to_a_later_stage_with_users_and_nowhere_else(step: int) -> None:
    refused = refusal_of(a_ramping_state(), a_command("step", step=step))
    assert refused.code == "bad_step"
    assert "2 can follow" in str(refused)


def test_after_the_last_step_only_promote_can_follow() -> None:
    state = a_ramping_state(a_ramp(2), canary_percentage=100.0)
    refused = refusal_of(state, a_command("step", step=3))
    assert refused.code == "bad_step"
    assert "only promote" in str(refused)


@each_cell("step", [0, 3, 5])
def test_a_soak_ends_with_the_step_after_it_and_no_other(step: int) -> None:
    refused = refusal_of(a_soaking_state(), a_command("step", step=step))
    assert (refused.code, "only step 4" in str(refused)) == ("bad_step", True)


def test_a_ramp_without_a_soak_ends_when_it_is_promoted() -> None:
    after = applied(a_ramping_state(a_ramp(2, a_plan(soak_seconds=0.0))), a_command("promote"))
    assert after.ramp is not None
    assert (after.ramp.stage, after.ramp.outcome) == (2, "promoted")
    assert (after.primary_version, phase_of(after)) == ("v0.2", "fixed")


def test_a_ramp_with_environments_to_come_soaks_also_without_a_soak_time() -> None:
    ramp = a_ramp(2, a_plan(soak_seconds=0.0), environments=("eu",))
    assert phase_of(applied(a_ramping_state(ramp), a_command("promote"))) == "soaking"


FOUND = (Finding("error_rate", "fail", "20 % against 0 %", {"canary": 0.2}),)


@each_cell(
    ("state", "command"),
    [
        (a_ramping_state(), a_command("step", step=2)),
        (a_ramping_state(), a_command("promote")),
        (a_ramping_state(), a_command("abort")),
        (a_ramping_state(), a_command("rollback")),
        (a_soaking_state(), a_command("step", step=4)),
        (a_soaking_state(), a_command("rollback")),
        (a_soaking_state(), a_command("abort")),
    ],
    ids=lambda value: value.type if isinstance(value, Command) else phase_of(value),
)
def test_what_moves_a_ramp_leaves_its_findings_in_the_state(
    state: RolloutState, command: Command
) -> None:
    after = applied(state, replace(command, findings=FOUND, baseline=an_arm("primary", "v0.1")))
    assert after.ramp is not None
    assert (after.ramp.findings, after.ramp.baseline) == (FOUND, an_arm("primary", "v0.1"))


def test_the_last_ramp_is_shown_until_the_next_command_that_is_no_ramps() -> None:
    rolled_back = applied(a_ramping_state(), a_command("abort"))
    assert rolled_back.ramp is not None
    for kind in ("swap", "rollout", "rollback"):
        assert applied(rolled_back, a_command(kind, **ARGUMENTS.get(kind, {}))).ramp is None


def test_a_state_with_a_ramp_survives_the_table_and_the_wire() -> None:
    plan = a_plan(
        guardrails=Guardrails(error_rate=None, latency_ratio=3.0), shadow=ShadowStep(5, 0.5)
    )
    ramp = a_ramp(plan=plan, environments=("eu",), findings=FOUND, baseline=an_arm("primary", "v"))
    state = a_ramping_state(ramp)
    text = json.dumps(msgspec.to_builtins(state, str_keys=True, enc_hook=write_instant))
    assert (
        msgspec.convert(json.loads(text), RolloutState, str_keys=True, dec_hook=read_instant)
        == state
    )
    assert decode(RolloutState, encode(state)) == state
    assert ramp.since == BEGAN


def test_a_percentage_without_any_canary_version_is_refused_instead_of_waiting_unseen() -> None:
    refused = refusal_of(a_state(), a_command("rollout", canary_percentage=25.0))
    assert refused.code == "no_canary"
    assert "25" in str(refused)
    assert applied(a_state(), a_command("rollout", canary_percentage=0.0)).strategy == "fixed"


def test_an_interleaving_is_refused_beside_workers_that_do_not_know_it() -> None:
    command = a_command("rollout", strategy="interleave", canary_version="v0.2")

    refusal = refusal_beside(command, {"w2", "w1"})
    assert refusal is not None
    assert (refusal.code, "earlier release (w1, w2)" in str(refusal)) == ("older_workers", True)
    assert refusal_beside(command, ()) is None
    for other in (
        a_command("rollout", strategy="ab_test", canary_version="v0.2"),
        a_command("rollout", canary_percentage=5.0),
        a_command("abort"),
    ):
        assert refusal_beside(other, {"w1"}) is None
