"""What is joined under a rollout state, and the conclusion from what workers report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from registry.ids import UserId
from registry.interleaving.preference import Preference, prefer, tally_of
from registry.outcomes.conclusion import Arm, Conclusion, conclude
from registry.outcomes.outlook import Elapsed
from registry.outcomes.partition_join import Experiment, sums_by_arm
from registry.rollout.assignment import arms_of, assign, canary_share, partner_of
from registry.wire.field_types import Variant
from registry.wire.heartbeats import Heartbeat
from registry.wire.outcome_kinds import OutcomeKind, value_of
from registry.wire.outcome_records import ArmSums
from registry.wire.rollout_state import RolloutState


def compared(state: RolloutState | None) -> RolloutState | None:
    """Return `state` if users are in two arms; a canary of 0 % or 100 % has only one."""
    return state if state is not None and 0 < canary_share(state) < 100 else None


def joined(state: RolloutState | None) -> RolloutState | None:
    """Return `state` if outcomes are joined under it: of two arms, or of interleaved lists."""
    return state if state is not None and partner_of(state) is not None else compared(state)


def experiment_of(
    state: RolloutState, attribution_seconds: float, kinds: Mapping[str, OutcomeKind]
) -> Experiment:
    """Return what workers join under `state`."""

    def arm_of(user_id: UserId) -> Variant:
        return assign(user_id, state).variant

    return Experiment(
        state.environment,
        state.epoch,
        state.updated_at.timestamp() if state.updated_at else 0.0,
        None if partner_of(state) else arm_of,
        {variant: version for version, variant in arms_of(state).items()},
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
    sums = _sums_under(state, fleet)
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


def preference_of(state: RolloutState | None, fleet: Iterable[Heartbeat]) -> Preference | None:
    """Return which version users prefer under `state`; None if it interleaves nothing."""
    canary = None if state is None else partner_of(state)
    if state is None or canary is None:
        return None
    return prefer(state.primary_version, canary, tally_of(_sums_under(state, fleet)))


def _sums_under(state: RolloutState, fleet: Iterable[Heartbeat]) -> dict[Variant | None, ArmSums]:
    reported = (part for heartbeat in fleet for part in heartbeat.outcomes)
    return sums_by_arm(reported, state.epoch)
