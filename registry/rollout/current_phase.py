"""Phases: what is in progress in a rollout state. Pure; must not know what commands do to it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from registry.ramp_plans.ramp_stages import stage_of
from registry.rollout.assignment import canary_share
from registry.rollout.ramp_transitions import ramp_under_way
from registry.wire.rollout_state import RolloutState

Phase: TypeAlias = Literal[
    "empty", "fixed", "canary", "ab_test", "shadow", "interleave", "ramping", "soaking"
]


def phase_of(state: RolloutState | None) -> Phase:
    """Return the row of the transition table that `state` is in."""
    if state is None:
        return "empty"
    ramp = ramp_under_way(state)
    if ramp is not None:
        return "soaking" if stage_of(ramp).kind == "soaking" else "ramping"
    return state.strategy


def is_compared(state: RolloutState) -> bool:
    """Tell whether two versions, or one and its predecessor, are compared by what users get.

    Not under ``interleave``: there all users get the same, and only what they do with it tells.
    """
    return state.strategy in ("canary", "ab_test") or ramp_under_way(state) is not None


def words_for(state: RolloutState) -> str:
    """Return who answers whom under `state`, in a few words.

    >>> words_for(RolloutState("production", 7, "canary", "v0.1", "v0.2", 10.0))
    'strategy canary, primary v0.1, canary v0.2 at 10 %'
    """
    words = f"strategy {state.strategy}, primary {state.primary_version}"
    if state.canary_version is not None:
        share = f"at {canary_share(state):g} %"
        if state.strategy == "interleave":
            share = "in every answer"
        words += f", canary {state.canary_version} {share}"
    return words
