"""The plan of a ramp before it starts: ``rollout apply --dry-run``.

Computes users, durations and numbers of requests without Kafka or workers. How many requests a
verdict needs is found out in `registry.ramp_plans.evidence_needs`.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from registry.ramp_plans.evidence_needs import Need, needs_of
from registry.ramp_plans.false_alarm import alpha_of
from registry.ramp_plans.ramp_durations import arithmetic_of, stage_patience_seconds
from registry.ramp_plans.ramp_stages import SENTENCES, stages_of
from registry.rollout.command_transitions import apply_command
from registry.wire.commands import Command
from registry.wire.instants import BEGINNING
from registry.wire.ramp_values import Goal, Ramp, StageKind
from registry.wire.rollout_state import RolloutState


class PlannedStage(Struct, frozen=True):
    """One stage: its share of users, their number if known, and its least and most seconds."""

    stage: int
    kind: StageKind
    what: str
    percentage: float
    users: int | None
    hold_seconds: float
    at_most_seconds: float


class DryRun(Struct, frozen=True):
    """What a ramp comes to; seconds are those of all its environments together."""

    canary_version: str
    environments: tuple[str, ...]
    stages: tuple[PlannedStage, ...]
    to_promote_seconds: float
    to_promote_at_most_seconds: float
    to_roll_back_seconds: float
    false_alarm: float
    alpha: float
    min_requests: int
    needs: tuple[Need, ...]
    goal: Goal | None = None


def plan_of(command: Command, users: int | None) -> DryRun:
    """Return the durations, users and requests of the ramp of `command`.

    Parameters
    ----------
    command
        A ``rollout`` with a ``ramp``.
    users
        Number of users to assume; None if unknown.

    Raises
    ------
    RefusedCommand
        If the rules refuse it, whatever the state: steps that do not rise, or too fine for the
        bucketing; one that is left out is taken as the first state's, ``modulo``.
    """
    before = RolloutState(command.environment, 0, "fixed", primary_version="")
    after = apply_command(before, command, epoch=1, at=BEGINNING, problems={})
    assert after.ramp is not None  # the caller's command has one
    ramp, later = after.ramp.plan, after.ramp.environments
    arithmetic = arithmetic_of(ramp, 1 + len(later))
    return DryRun(
        canary_version=after.canary_version or "",
        environments=(command.environment, *later),
        stages=tuple(_stages(ramp, later, users)),
        to_promote_seconds=arithmetic.to_promote,
        to_promote_at_most_seconds=arithmetic.to_promote_at_most,
        to_roll_back_seconds=arithmetic.to_roll_back,
        false_alarm=ramp.false_alarm,
        alpha=alpha_of(ramp),
        min_requests=ramp.min_requests,
        needs=needs_of(ramp),
        goal=ramp.goal,
    )


def _stages(ramp: Ramp, later: tuple[str, ...], users: int | None) -> Iterator[PlannedStage]:
    for place, stage in enumerate(stages_of(ramp, later)):
        waited = 0.0 if stage.kind == "soaking" else stage_patience_seconds(ramp, stage)
        yield PlannedStage(
            place,
            stage.kind,
            SENTENCES[stage.kind],
            stage.percentage,
            None if users is None else round(users * stage.percentage / 100),
            stage.hold_seconds,
            stage.hold_seconds + waited,
        )
