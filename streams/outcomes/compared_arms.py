"""What is joined under a rollout state, and the conclusion from what workers report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from registry.ids import UserId
from registry.outcomes.conclusion import Arm, Conclusion, conclude
from registry.outcomes.outlook import Elapsed
from registry.outcomes.partition_join import Experiment, sums_by_arm
from registry.rollout.assignment import arms_of, assign, canary_share
from registry.wire.field_types import Variant
from registry.wire.heartbeats import Heartbeat
from registry.wire.outcome_kinds import OutcomeKind, value_of
from registry.wire.outcome_records import ArmSums
from registry.wire.rollout_state import RolloutState


def compared(state: RolloutState | None) -> RolloutState | None:
    """Return `state` if users are in two arms; a canary of 0 % or 100 % has only one."""
    return state if state is not None and 0 < canary_share(state) < 100 else None


def experiment_of(
    state: RolloutState, attribution_seconds: float, kinds: Mapping[str, OutcomeKind]
) -> Experiment:
    """Return what workers join under `state`."""

    def arm_of(user_id: UserId) -> tuple[Variant, str]:
        assigned = assign(user_id, state)
        return assigned.variant, assigned.version

    return Experiment(
        state.environment,
        state.epoch,
        state.updated_at.timestamp() if state.updated_at else 0.0,
        arm_of,
        round(attribution_seconds * 1000),
        partial(value_of, kinds),
    )


def conclusion_of(
    state: RolloutState | None, fleet: Iterable[Heartbeat], now: float, window_seconds: float
) -> Conclusion | None:
    """Return what may be concluded under `state`; None if it compares nothing.

    Parameters
    ----------
    state
        The rollout state.
    fleet
        The latest heartbeat of each worker.
    now
        Seconds since 1970.
    window_seconds
        The attribution window.
    """
    if state is None or compared(state) is None:
        return None
    reported = (part for heartbeat in fleet for part in heartbeat.outcomes)
    sums = sums_by_arm(reported, state.epoch)
    primary, canary = (
        Arm(variant, version, sums.get(variant, ArmSums()))
        for version, variant in arms_of(state).items()
    )
    since = state.updated_at
    return conclude(
        primary,
        canary,
        canary_share(state) / 100,
        elapsed=None if since is None else Elapsed(now - since.timestamp(), window_seconds),
    )
