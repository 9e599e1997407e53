"""How long a ramp takes: the patience of a stage beyond its hold, and the whole ramp. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from registry.ramp_plans.ramp_stages import Stage, stages_of
from registry.wire.ramp_values import Ramp, StageKind

LOADING_SECONDS: Final = 60.0
"""Least patience while workers load the version: a large one needs a minute, whatever the holds."""

PATIENCE_HOLDS: Final = 3
"""Holds that an inconclusive step is waited for, beyond its own, unless the plan says otherwise."""


def patience_seconds(plan: Ramp, kind: StageKind = "stepping") -> float:
    """Return how long after its hold an inconclusive stage of this kind is waited for."""
    patience = plan.patience_seconds
    if patience is None:
        patience = PATIENCE_HOLDS * plan.hold_seconds
    return max(patience, LOADING_SECONDS) if kind == "preparing" else patience


def stage_patience_seconds(plan: Ramp, stage: Stage) -> float:
    """Return how long after its hold this stage is waited for: the one that decides by its goal."""
    if stage.decides and plan.goal is not None and plan.goal.patience_seconds is not None:
        return plan.goal.patience_seconds
    return patience_seconds(plan, stage.kind)


class Arithmetic(NamedTuple):
    """What a plan comes to, before it is started; times in seconds."""

    to_promote: float
    to_promote_at_most: float
    to_roll_back: float


def arithmetic_of(plan: Ramp, environments: int = 1) -> Arithmetic:
    """Return the least and most time until all users have the version, in all environments.

    ``to_promote = Σ hold_seconds + soak_seconds``; at most, each stage's patience comes on top.
    ``to_roll_back`` is the time from the evidence to the last worker acting: one look of the owner,
    one heartbeat and one change of state.
    """
    stages = stages_of(plan)
    least = sum(stage.hold_seconds for stage in stages)
    judged = [stage for stage in stages if stage.kind != "soaking"]
    most = least + sum(stage_patience_seconds(plan, stage) for stage in judged)
    return Arithmetic(least * environments, most * environments, ROLL_BACK_SECONDS)


ROLL_BACK_SECONDS: Final = 5.0
"""The contract's bound from the evidence to the last answer of the version rolled back."""
