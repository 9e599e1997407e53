"""The rollout rules: what each command does to the rollout state.

The decision core: no I/O, no clock, no randomness. :func:`apply_command` (state × command → new
state or refusal) is one table, :data:`TRANSITIONS`. The caller finds out whether the versions that
:func:`versions_named` lists can be loaded, and passes that as an argument. The rules of a ramp are
in `registry.rollout.ramp_transitions`, those of `rollout` in
`registry.rollout.rollout_transition`; when a ramp issues commands, in
`registry.rollout.ramp_decision`; which version a user gets, in `registry.rollout.assignment`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec import UnsetType
from msgspec.structs import replace

from registry.error_codes import CommandCode
from registry.errors import RefusedCommand
from registry.ids import is_version_name
from registry.ramp_plans.ramp_traffic import suit_traffic
from registry.rollout.current_phase import Phase, phase_of
from registry.rollout.expected_epoch import require_epoch
from registry.rollout.ramp_transitions import (
    abort_soak,
    end_ramp,
    enter_stage,
    finish_soak,
    pause_ramp,
    ramp_under_way,
    resume_ramp,
    soak_or_end,
    with_evidence,
)
from registry.rollout.rollout_transition import change_fields
from registry.wire.commands import (
    Abort,
    Command,
    CommandType,
    Promote,
    Rollback,
    Rollout,
    Step,
    Swap,
)
from registry.wire.instants import Instant
from registry.wire.rollout_state import RolloutState

PREVIOUS_VERSIONS_KEPT: Final = 10
"""How far ``rollback`` can go back."""


def versions_named(state: RolloutState | None, command: Command) -> tuple[str, ...]:
    """Return the versions that `command` would bring in, each to be checked before."""
    match command:
        case Swap(model_version=str(version)) | Rollout(canary_version=str(version)):
            return (version,)
        case Promote() | Step() if state is not None and state.canary_version is not None:
            return (state.canary_version,)
        case Rollback() if state is not None:
            return state.previous_versions[:1]
    return ()


def apply_command(
    state: RolloutState | None,
    command: Command,
    *,
    epoch: int,
    at: Instant,
    problems: Mapping[str, str],
    traffic: float | None = None,
) -> RolloutState:
    """Return the state after `command`, or refuse it whole.

    Parameters
    ----------
    state
        The current state; None before the first version.
    command
        The command, already decoded.
    epoch
        Its era and its offset on the control topic, as one number.
    at
        The record's time, ISO 8601 in UTC.
    problems
        Why a version that the command names cannot be served, by version; empty if all can.
    traffic
        Requests that the fleet answers a second; None if no live worker says it.

    Raises
    ------
    RefusedCommand
        With a stable code and a message that quotes what was seen and what is allowed.
    """
    require_epoch(state, command)
    for version in versions_named(state, command):
        if not is_version_name(version):
            raise RefusedCommand(
                f"version {version!r}: must look like v0.3 (vMAJOR.MINOR)", CommandCode.BAD_VERSION
            )
        if version in problems:
            raise RefusedCommand(
                f"version {version}: {problems[version]}", CommandCode.UNUSABLE_VERSION
            )
    cell = TRANSITIONS[phase_of(state), command.type]
    if isinstance(cell, RefusingCell):
        raise RefusedCommand(f"{command.type}: {cell.message}", cell.code)
    after = cell.act(state, command, at)
    if isinstance(command, Rollout):
        after = suit_traffic(after, command, traffic)
    return replace(
        after,
        environment=command.environment,
        epoch=epoch,
        updated_at=at,
        updated_by=command.issued_by,
        reason=command.reason,
        origin=command.origin,
    )


class Transition(NamedTuple):
    """A cell that changes the state.

    ``act`` takes a state of the row's phase, a command of the column's kind and the time; ``to``
    names the phases that it can lead to.
    """

    act: Callable[[Any, Any, Instant], RolloutState]
    to: tuple[Phase, ...]


class RefusingCell(NamedTuple):
    """A cell that refuses, whatever the command says."""

    code: CommandCode
    message: str


def _swap_first(state: None, command: Swap, at: Instant) -> RolloutState:
    """The version becomes primary."""
    return RolloutState(command.environment, 0, "fixed", _require_version(command))


def _swap(state: RolloutState, command: Swap, at: Instant) -> RolloutState:
    """The version becomes primary. A swap to the canary version ends its trial."""
    version = _require_version(command)
    state = end_ramp(state, "cancelled")
    if version == state.canary_version:
        state = _without_canary(state)
    return _with_primary(state, version)


def _require_version(command: Swap) -> str:
    if isinstance(command.model_version, UnsetType):
        raise RefusedCommand("swap: model_version is missing", CommandCode.MISSING_VERSION)
    return command.model_version


def _promote(state: RolloutState, command: Promote, at: Instant) -> RolloutState:
    """The canary version becomes primary."""
    if state.canary_version is None:
        raise RefusedCommand("promote: there is no canary version", CommandCode.NO_CANARY)
    after = _with_primary(_without_canary(state), state.canary_version)
    ramp = ramp_under_way(state)
    return replace(after, ramp=None if ramp is None else soak_or_end(ramp, command, at))


def _rollback(state: RolloutState, command: Rollback, at: Instant) -> RolloutState:
    """The previous primary answers everyone; a canary version on trial is dropped with it."""
    if not state.previous_versions:
        raise RefusedCommand(
            f"rollback: no primary version before {state.primary_version} is remembered",
            CommandCode.NO_PREVIOUS,
        )
    primary, *previous = state.previous_versions
    return replace(
        _drop_canary(state, command), primary_version=primary, previous_versions=tuple(previous)
    )


def _abort(state: RolloutState, command: Abort, at: Instant) -> RolloutState:
    """The canary version is dropped, the primary kept; also one that only waits under ``fixed``."""
    if state.canary_version is None:
        raise RefusedCommand("abort: there is no canary version", CommandCode.NO_CANARY)
    return _drop_canary(state, command)


def _drop_canary(state: RolloutState, command: Rollback | Abort) -> RolloutState:
    ramp = ramp_under_way(state)
    if ramp is not None:
        state = replace(state, ramp=with_evidence(ramp, command))
    return _without_canary(end_ramp(state, "rolled_back"))


def _with_primary(state: RolloutState, version: str) -> RolloutState:
    if version == state.primary_version:
        return state
    previous = tuple(known for known in state.previous_versions if known != version)
    return replace(
        state,
        primary_version=version,
        previous_versions=(state.primary_version, *previous)[:PREVIOUS_VERSIONS_KEPT],
    )


def _without_canary(state: RolloutState) -> RolloutState:
    return replace(state, strategy="fixed", canary_version=None, canary_percentage=0.0)


_NO_STATE: Final = RefusingCell(
    CommandCode.NO_STATE, "this environment has no version yet; swap one in first"
)
_NO_CANARY: Final = RefusingCell(CommandCode.NO_CANARY, "no canary version is on trial")
_NO_RAMP: Final = RefusingCell(CommandCode.NO_RAMP, "no ramp is in progress")

Row: TypeAlias = Mapping[CommandType, Transition | RefusingCell]

_AS_ASKED: Final = Transition(
    change_fields, ("fixed", "canary", "ab_test", "shadow", "interleave", "ramping")
)
_TO_FIXED: Final[Row] = {
    "rollback": Transition(_rollback, ("fixed",)),
    "abort": Transition(_abort, ("fixed",)),
}
_WITHOUT_RAMP: Final[Row] = {"pause": _NO_RAMP, "resume": _NO_RAMP, "step": _NO_RAMP}


def _on_trial(*trials: Phase) -> Row:
    """Return what is the same wherever a canary version is on trial; a swap leaves it there."""
    return {
        "swap": Transition(_swap, ("fixed", *trials)),
        "rollout": _AS_ASKED,
        "promote": Transition(_promote, ("fixed",)),
        **_TO_FIXED,
    }


ROWS: Final[Mapping[Phase, Row]] = {
    "empty": {
        "swap": Transition(_swap_first, ("fixed",)),
        "rollout": _NO_STATE,
        "promote": _NO_STATE,
        "rollback": _NO_STATE,
        "abort": _NO_STATE,
        "pause": _NO_STATE,
        "resume": _NO_STATE,
        "step": _NO_STATE,
    },
    "fixed": {
        "swap": Transition(_swap, ("fixed",)),
        "rollout": _AS_ASKED,
        "promote": _NO_CANARY,
        **_TO_FIXED,
        **_WITHOUT_RAMP,
    },
    "canary": {**_on_trial("canary"), **_WITHOUT_RAMP},
    "ab_test": {**_on_trial("ab_test"), **_WITHOUT_RAMP},
    "shadow": {**_on_trial("shadow"), **_WITHOUT_RAMP},
    "interleave": {**_on_trial("interleave"), **_WITHOUT_RAMP},
    "ramping": {
        **_on_trial("canary", "shadow", "interleave"),
        "promote": Transition(_promote, ("fixed", "soaking")),
        "pause": Transition(pause_ramp, ("ramping",)),
        "resume": Transition(resume_ramp, ("ramping",)),
        "step": Transition(enter_stage, ("ramping",)),
    },
    "soaking": {
        "swap": Transition(_swap, ("fixed",)),
        "rollout": _AS_ASKED,
        "promote": _NO_CANARY,
        **_TO_FIXED,
        "abort": Transition(abort_soak, ("fixed",)),
        "pause": Transition(pause_ramp, ("soaking",)),
        "resume": Transition(resume_ramp, ("soaking",)),
        "step": Transition(finish_soak, ("fixed",)),
    },
}

TRANSITIONS: Final[Mapping[tuple[Phase, CommandType], Transition | RefusingCell]] = {
    (phase, command): cell for phase, row in ROWS.items() for command, cell in row.items()
}
"""Every cell of phase × command, with the phases that it leads to.

``retrain`` has no cell: it changes no rollout state, and goes to the retrain agent. Nor has
``begin_era``: it is about the log (`registry.rollout.command_log`)."""
