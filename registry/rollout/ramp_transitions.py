"""The rules of a ramp: which plans are valid, and how the ramp of a rollout state begins and moves.

Pure, like the table of `registry.rollout.command_transitions` whose cells these are. Must not know
what a command does to the versions of a state, nor when a ramp moves
(`registry.rollout.ramp_decision`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from registry.error_codes import CommandCode
from registry.errors import RefusedCommand
from registry.ramp_plans.ramp_stages import stages_of
from registry.ramp_plans.ramp_validation import ramp_id_of, require_environments, require_plan
from registry.wire.commands import Abort, Judged, Pause, Promote, Resume, Rollout, Step
from registry.wire.field_types import Strategy
from registry.wire.instants import Instant
from registry.wire.ramp_values import Outcome, Ramp, RampState, StageKind
from registry.wire.rollout_state import RolloutState

STRATEGIES: Final[Mapping[StageKind, Strategy]] = {
    "shadowing": "shadow",
    "interleaving": "interleave",
    "stepping": "canary",
}
"""Who answers whom in the stages that a ``step`` leads to."""


def ramp_under_way(state: RolloutState | None) -> RampState | None:
    """Return the ramp of `state` if it has not ended."""
    if state is None or state.ramp is None or state.ramp.outcome is not None:
        return None
    return state.ramp


def end_ramp(state: RolloutState, outcome: Outcome) -> RolloutState:
    """End the ramp in progress; forget one that ended before."""
    ramp = ramp_under_way(state)
    return replace(state, ramp=None if ramp is None else replace(ramp, outcome=outcome))


def new_ramp(plan: Ramp, command: Rollout, after: RolloutState, at: Instant) -> RampState:
    """Return the ramp that `command` starts at `at`; `after` is the state that it is part of."""
    require_plan(plan, after.bucketing)
    environments = require_environments(command)
    return RampState(
        plan=plan,
        ramp_id=ramp_id_of(command),
        stage=0,
        since=at,
        environments=environments[1:],
        version=after.canary_version,
        cause=command.cause,
        fit=command.fit,
    )


def enter_stage(state: RolloutState, command: Step, at: Instant) -> RolloutState:
    """The ramp enters a later stage; only ``promote`` brings it to the soak."""
    ramp = _moving_ramp(state, command)
    stages = stages_of(ramp.plan, ramp.environments)
    allowed = [
        place
        for place, stage in enumerate(stages)
        if place > ramp.stage and stage.kind in STRATEGIES
    ]
    if command.step not in allowed:
        raise RefusedCommand(
            f"step {command.step}: the ramp is in stage {ramp.stage}; "
            f"{', '.join(map(str, allowed)) or 'no stage'} can follow"
            f"{'' if allowed else ', only promote'}",
            CommandCode.BAD_STEP,
        )
    stage = stages[command.step]
    shadow = ramp.plan.shadow
    return replace(
        state,
        strategy=STRATEGIES[stage.kind],
        canary_percentage=stage.percentage,
        shadow_sample_percentage=shadow.sample_percentage if shadow else 100.0,
        ramp=replace(ramp, stage=command.step, since=at),
    )


def finish_soak(state: RolloutState, command: Step, at: Instant) -> RolloutState:
    """The soak is over: the ramp has ended well."""
    ramp = _moving_ramp(state, command)
    past = len(stages_of(ramp.plan, ramp.environments))
    if command.step != past:
        raise RefusedCommand(
            f"step {command.step}: the ramp is soaking; only step {past}, its end, can follow",
            CommandCode.BAD_STEP,
        )
    return replace(state, ramp=replace(ramp, outcome="promoted"))


def pause_ramp(state: RolloutState, command: Pause, at: Instant) -> RolloutState:
    """The ramp stays where it is until it is resumed."""
    ramp = require_ramp(state)
    if ramp.paused:
        raise RefusedCommand("pause: the ramp is already paused", CommandCode.RAMP_PAUSED)
    return replace(state, ramp=replace(ramp, paused=True))


def resume_ramp(state: RolloutState, command: Resume, at: Instant) -> RolloutState:
    """The ramp continues; its current stage restarts, and with it the evidence."""
    ramp = require_ramp(state)
    if not ramp.paused:
        raise RefusedCommand("resume: the ramp is not paused", CommandCode.RAMP_NOT_PAUSED)
    return replace(state, ramp=replace(ramp, paused=False, since=at))


def abort_soak(state: RolloutState, command: Abort, at: Instant) -> RolloutState:
    """The primary is kept, and no further environment begins."""
    ramp = require_ramp(state)
    return replace(state, ramp=replace(with_evidence(ramp, command), outcome="cancelled"))


def soak_or_end(ramp: RampState, command: Promote, at: Instant) -> RampState:
    """Return the ramp of a version that has become primary: it soaks if the plan says so."""
    ramp = with_evidence(replace(ramp, paused=False), command)
    stages = stages_of(ramp.plan, ramp.environments)
    if stages[-1].kind == "soaking":
        return replace(ramp, stage=len(stages) - 1, since=at)
    return replace(ramp, outcome="promoted")


def with_evidence(ramp: RampState, command: Judged) -> RampState:
    """Return the ramp with what the command found out."""
    return replace(
        ramp,
        findings=command.findings or ramp.findings,
        baseline=command.baseline or ramp.baseline,
    )


def require_ramp(state: RolloutState) -> RampState:
    """Return the ramp in progress; refuse if there is none."""
    ramp = ramp_under_way(state)
    if ramp is None:
        raise RefusedCommand("no ramp is in progress", CommandCode.NO_RAMP)
    return ramp


def _moving_ramp(state: RolloutState, command: Step) -> RampState:
    """Return the ramp with what the command found out; refuse while it is paused."""
    ramp = require_ramp(state)
    if ramp.paused:
        raise RefusedCommand(
            f"{command.type}: the ramp is paused; resume it", CommandCode.RAMP_PAUSED
        )
    return with_evidence(ramp, command)
