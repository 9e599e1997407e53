"""Offering a version to the fleet: which command a deploy means.

Pure: knows commands and rollout state; must not know who offers, nor how a command is sent. Used by
the fleet's own runs and by ``recstream train --deploy``.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET
from msgspec.structs import replace

from registry.wire.commands import Command
from registry.wire.rollout_state import RolloutState

Offer: TypeAlias = Literal["swap", "canary", "shadow"]
"""A deploy that tells the fleet."""


def offering(
    command: Command,
    version: str,
    deploy: Offer,
    state: RolloutState | None,
    percentage: float,
) -> Command:
    """Return `command` as one that offers `version`.

    The first version of an environment is always swapped in: there is nothing beside which it
    could be a canary.

    Parameters
    ----------
    command
        Its type and arguments are replaced; who issues it, and why, stay.
    version
        What is offered.
    deploy
        What is to become of it.
    state
        Of the environment; None if there is none yet.
    percentage
        0..100, with a canary. One that is not whole needs finer buckets than ``modulo`` has.
    """
    if deploy == "swap" or state is None:
        return replace(command, type="swap", model_version=version)
    command = replace(command, type="rollout", strategy=deploy, canary_version=version)
    if deploy == "shadow":
        return command
    bucketing = UNSET if percentage == round(percentage) else "hash"
    return replace(command, canary_percentage=percentage, bucketing=bucketing)
