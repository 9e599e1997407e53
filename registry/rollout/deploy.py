"""Offering a version to the fleet: which command a deploy means.

Pure: knows commands and rollout state; must not know who offers, nor how a command is sent. Used by
the fleet's own runs and by ``recstream train --deploy``.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET

from registry.wire.commands import Rollout, Swap
from registry.wire.rollout_state import RolloutState

Offer: TypeAlias = Literal["swap", "canary", "shadow"]
"""A deploy that tells the fleet."""


def offer_version(
    swap: Swap, deploy: Offer, state: RolloutState | None, percentage: float
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
    """
    if deploy == "swap" or state is None:
        return swap
    version = swap.model_version
    if deploy == "shadow":
        return Rollout(**swap.common, strategy=deploy, canary_version=version)
    return Rollout(
        **swap.common,
        strategy=deploy,
        canary_version=version,
        canary_percentage=percentage,
        bucketing=UNSET if percentage == round(percentage) else "hash",
    )
