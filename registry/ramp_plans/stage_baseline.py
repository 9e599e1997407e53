"""The baseline of a stage: with which counts those of the canary version are compared. Pure.

The primary's, where it is beside the canary. In a soak, and at a step of 100 %, no users are left
with it: there it is what the primary did in the stage before. Must not know how counts are judged
(`registry.guardrails.verdicts`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from registry.ramp_plans.ramp_stages import Stage
from registry.wire.counts import ArmCounts
from registry.wire.ramp_values import RampState
from registry.wire.rollout_state import RolloutState


class StageArms(NamedTuple):
    """What is compared in a stage.

    Parameters
    ----------
    canary, baseline
        The counts; None: there are none.
    has_primary
        Whether the baseline is of the same time: only then can numbers of users be compared.
    """

    canary: ArmCounts | None
    baseline: ArmCounts | None
    has_primary: bool


def arms_of_stage(
    state: RolloutState, ramp: RampState, stage: Stage, arms: Iterable[ArmCounts]
) -> StageArms | None:
    """Return what is compared in a stage; None if there is nothing to compare with.

    Parameters
    ----------
    state, ramp, stage
        The rollout state, its ramp and the stage that this is in.
    arms
        What the fleet has counted of each version since the state's epoch.
    """
    by_version = {arm.version: arm for arm in arms}
    primary = by_version.get(state.primary_version)
    canary = by_version.get(state.canary_version or "")
    has_primary = stage.kind == "stepping" and stage.percentage < 100
    if stage.kind == "soaking":
        if ramp.baseline is None:
            return None  # promoted by an operator before any step
        canary = primary
    return StageArms(canary, primary if has_primary else ramp.baseline, has_primary)
