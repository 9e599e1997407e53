"""Offering a version to the fleet: which command a deploy means, and when it must wait.

Pure: knows commands and rollout state; must not know who deploys, nor how a command is sent. Used
by the fleet's own runs and by ``recstream train --deploy``.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import UNSET

from registry.rollout.current_phase import phase_of, words_for
from registry.rollout.policy_file import RampPolicy
from registry.rollout.ramp_transitions import ramp_under_way
from registry.wire.commands import Rollout, Swap
from registry.wire.ramp_values import RampCause
from registry.wire.rollout_state import RolloutState

Offer: TypeAlias = Literal["swap", "canary", "shadow", "ramp"]
"""A deploy that tells the fleet."""


def why_to_wait(version: str, deploy: Offer, state: RolloutState | None) -> str | None:
    """Return why `version` is not to be offered now, and what to do later; None if it may be.

    A ramp in progress is left alone by every deploy; ``ramp`` leaves any other trial alone as well.
    """
    later = "`recstream rollout apply` it" if deploy == "ramp" else f"`recstream swap {version}`"
    if ramp_under_way(state) is not None:
        return f"a ramp is in progress; {later} once it has ended"
    if deploy == "ramp" and state is not None and phase_of(state) != "fixed":
        return (
            f"{state.environment} has a trial of its own ({words_for(state)}); {later} once it "
            "has ended"
        )
    return None


def offer_version(
    swap: Swap,
    deploy: Offer,
    state: RolloutState | None,
    percentage: float,
    ramp: RampPolicy | None = None,
    cause: RampCause | None = None,
) -> Swap | Rollout:
    """Return the command that offers the version of `swap` as `deploy` says.

    The first version of an environment is always swapped in: there is nothing beside which it
    could be a canary.

    Parameters
    ----------
    swap
        Makes the version primary. Who issues the command, and why, stays.
    deploy
        What is to become of it.
    state
        Of the environment; None if there is none yet.
    percentage
        0..100, with a canary. One that is not whole needs finer buckets than ``modulo`` has.
    ramp
        The plan, stretched to fit the traffic; required with ``ramp``.
    cause
        The training run of a ramp.
    """
    if deploy == "swap" or state is None:
        return swap
    fields: dict[str, Any] = {"strategy": deploy, "canary_version": swap.model_version}
    if deploy == "canary":
        fields["canary_percentage"] = percentage
        fields["bucketing"] = UNSET if percentage == round(percentage) else "hash"
    elif deploy == "ramp":
        assert ramp is not None  # settings and refusals see to it
        fields = {"canary_version": swap.model_version, "cause": cause, "fit": True, **ramp.given}
    return Rollout(**swap.common, **fields)
