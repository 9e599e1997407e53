"""The rollout rules: which user gets which version, and what each command does to the state.

The decision core: no I/O, no clock, no randomness. The two questions of PRODUCT.md §3 live here
and nowhere else: :func:`assign` (user → variant) and :func:`apply_command` (state × command → new
state or refusal). Whether a version can be loaded is found out by the caller, for the versions
that :func:`versions_named` lists, and comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

import mmh3
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from registry.errors import RefusedCommand
from registry.ids import UserId, is_version_name
from registry.records import Bucketing, Command, CommandType, RolloutState, Strategy, Variant

HASH_BUCKETS: Final = 10_000
"""Steps of 0.01 %. More would need a wider percentage type; fewer would be too coarse a ramp."""

MODULO_BUCKETS: Final = 100
"""Whole percentages, as in ``user_id % 100``."""

PREVIOUS_VERSIONS_KEPT: Final = 10
"""How far ``rollback`` can go back."""

NO_EPOCH: Final = -1
"""What ``expected_epoch`` says of an environment without a state; no offset is negative."""

Phase: TypeAlias = Literal["empty", "fixed", "canary"]


class Assignment(NamedTuple):
    """What the rules give one user. ``bucket`` is None where the strategy looks at no bucket."""

    variant: Variant
    version: str
    bucket: int | None


def bucket_of(user_id: UserId, bucketing: Bucketing, salt: str) -> tuple[int, int]:
    """Return the user's bucket and the number of buckets that it is out of.

    ``modulo``: ``user_id % 100`` of 100. ``hash``, and any id that is not an integer:
    MurmurHash3 (x86, 32 bit, seed 0) of ``salt:user_id`` modulo 10,000.

    >>> bucket_of(1234, "modulo", "")
    (34, 100)
    >>> bucket_of("anna", "modulo", "s") == bucket_of("anna", "hash", "s")
    True
    """
    if bucketing == "modulo" and isinstance(user_id, int):
        return user_id % MODULO_BUCKETS, MODULO_BUCKETS
    return mmh3.hash(f"{salt}:{user_id}", 0, False) % HASH_BUCKETS, HASH_BUCKETS


def assign(user_id: UserId, state: RolloutState) -> Assignment:
    """Return who answers `user_id` under `state`: a pure function, the same on every worker.

    A user is in the canary when ``bucket < canary_percentage`` of the buckets; so a raised
    percentage only adds users to it.

    >>> state = RolloutState("production", 7, "canary", "v0.1", "v0.2", 10.0)
    >>> assign(109, state)
    Assignment(variant='canary', version='v0.2', bucket=9)
    >>> assign(110, state)
    Assignment(variant='primary', version='v0.1', bucket=10)
    """
    if state.strategy == "fixed" or state.canary_version is None:
        return Assignment("primary", state.primary_version, None)
    bucket, buckets = bucket_of(user_id, state.bucketing, state.salt)
    if bucket < round(state.canary_percentage * buckets / 100):
        return Assignment("canary", state.canary_version, bucket)
    return Assignment("primary", state.primary_version, bucket)


def versions_named(state: RolloutState | None, command: Command) -> tuple[str, ...]:
    """Return the versions that `command` would bring in, each to be checked before."""
    brought_in: str | UnsetType | None = None
    if command.type == "swap":
        brought_in = command.model_version
    elif command.type == "rollout":
        brought_in = command.canary_version
    elif state is not None and command.type == "promote":
        brought_in = state.canary_version
    elif state is not None and command.type == "rollback":
        brought_in = next(iter(state.previous_versions), None)
    return (brought_in,) if isinstance(brought_in, str) else ()


def apply_command(
    state: RolloutState | None,
    command: Command,
    *,
    epoch: int,
    at: str,
    problems: Mapping[str, str],
) -> RolloutState:
    """Return the state after `command`, or refuse it whole.

    Parameters
    ----------
    state
        The current state; None before the first version.
    command
        The command, already decoded.
    epoch
        Its offset on the control topic.
    at
        The record's time, ISO 8601 in UTC.
    problems
        Why a version that the command names cannot be served, by version; empty if all can.

    Raises
    ------
    RefusedCommand
        With a stable code and a message that quotes what was seen and what is allowed.
    """
    require_epoch(state, command)
    for version in versions_named(state, command):
        if not is_version_name(version):
            raise RefusedCommand(
                f"version {version!r}: must look like v0.3 (vMAJOR.MINOR)", "bad_version"
            )
        if version in problems:
            raise RefusedCommand(f"version {version}: {problems[version]}", "unusable_version")
    after = TRANSITIONS[phase_of(state), command.type](state, command)
    return replace(
        after,
        environment=command.environment,
        epoch=epoch,
        updated_at=at,
        updated_by=command.issued_by,
        reason=command.reason,
    )


def require_epoch(state: RolloutState | None, command: Command) -> None:
    """Refuse a command whose issuer saw another state; -1 stands for "no state yet"."""
    current = NO_EPOCH if state is None else state.epoch
    if command.expected_epoch is not None and command.expected_epoch != current:
        raise RefusedCommand(
            f"expected_epoch {command.expected_epoch}: the epoch is now {current}"
            f"{' (no state yet)' if state is None else ''}; read the state and decide again",
            "stale_epoch",
        )


def phase_of(state: RolloutState | None) -> Phase:
    """Return the row of the transition table that `state` is in."""
    return "empty" if state is None else state.strategy


Transition: TypeAlias = Callable[[RolloutState | None, Command], RolloutState]


def _refuse(code: str, message: str) -> Transition:
    def refusal(state: RolloutState | None, command: Command) -> RolloutState:
        raise RefusedCommand(f"{command.type}: {message}", code)

    return refusal


def _swap(state: RolloutState | None, command: Command) -> RolloutState:
    """The version becomes primary. A swap to the canary version ends its trial."""
    version = command.model_version
    if not isinstance(version, str):
        raise RefusedCommand("swap: model_version is missing", "missing_version")
    if state is None:
        return RolloutState(command.environment, 0, "fixed", version)
    if version == state.canary_version:
        state = _without_canary(state)
    return _with_primary(state, version)


def _rollout(state: RolloutState | None, command: Command) -> RolloutState:
    """Change the fields given, and only those; the outcome is checked as a whole."""
    assert state is not None  # the table has no such cell
    given = {
        name: value
        for name in ("strategy", "canary_version", "canary_percentage", "bucketing", "salt")
        if (value := getattr(command, name)) is not UNSET
    }
    if not given:
        raise RefusedCommand(
            "rollout: no field given; give strategy, canary_version, canary_percentage, "
            "bucketing or salt",
            "nothing_given",
        )
    _require_one_of("strategy", given.get("strategy"), get_args(Strategy))
    _require_one_of("bucketing", given.get("bucketing"), get_args(Bucketing))
    after: RolloutState = replace(state, **given)
    _require_percentage(after.canary_percentage, after.bucketing)
    if after.strategy == "canary" and after.canary_version is None:
        raise RefusedCommand("strategy canary: needs a canary_version", "no_canary")
    if after.canary_version == after.primary_version:
        raise RefusedCommand(
            f"canary_version {after.canary_version}: is the primary version already",
            "canary_is_primary",
        )
    return after


def _promote(state: RolloutState | None, command: Command) -> RolloutState:
    """The canary version becomes primary."""
    assert state is not None
    assert state.canary_version is not None
    return _with_primary(_without_canary(state), state.canary_version)


def _rollback(state: RolloutState | None, command: Command) -> RolloutState:
    """The previous primary answers everyone; a canary version on trial is dropped with it."""
    assert state is not None
    if not state.previous_versions:
        raise RefusedCommand(
            f"rollback: no primary version is remembered before {state.primary_version}",
            "no_previous",
        )
    primary, *previous = state.previous_versions
    return replace(
        _without_canary(state), primary_version=primary, previous_versions=tuple(previous)
    )


def _abort(state: RolloutState | None, command: Command) -> RolloutState:
    """The canary version is dropped, the primary kept; also one that only waits under ``fixed``."""
    assert state is not None
    if state.canary_version is None:
        raise RefusedCommand("abort: there is no canary version", "no_canary")
    return _without_canary(state)


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


def _require_one_of(field: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise RefusedCommand(
            f"{field} {value!r}: must be one of {', '.join(allowed)}", f"bad_{field}"
        )


def _require_percentage(percentage: float, bucketing: Bucketing) -> None:
    if not 0 <= percentage <= 100:
        raise RefusedCommand(
            f"canary_percentage {percentage:g}: must be between 0 and 100", "bad_percentage"
        )
    steps = percentage if bucketing == "modulo" else percentage * 100
    if abs(steps - round(steps)) > 1e-6:
        allowed = (
            "whole percentages only under bucketing modulo; use bucketing hash for steps of 0.01"
            if bucketing == "modulo"
            else "must be a multiple of 0.01"
        )
        raise RefusedCommand(f"canary_percentage {percentage:g}: {allowed}", "bad_percentage")


_NO_STATE = _refuse("no_state", "this environment has no version yet; swap one in first")
_NO_CANARY = _refuse("no_canary", "no canary version is on trial")

TRANSITIONS: Final[Mapping[tuple[Phase, CommandType], Transition]] = {
    ("empty", "swap"): _swap,
    ("empty", "rollout"): _NO_STATE,
    ("empty", "promote"): _NO_STATE,
    ("empty", "rollback"): _NO_STATE,
    ("empty", "abort"): _NO_STATE,
    ("fixed", "swap"): _swap,
    ("fixed", "rollout"): _rollout,
    ("fixed", "promote"): _NO_CANARY,
    ("fixed", "rollback"): _rollback,
    ("fixed", "abort"): _abort,
    ("canary", "swap"): _swap,
    ("canary", "rollout"): _rollout,
    ("canary", "promote"): _promote,
    ("canary", "rollback"): _rollback,
    ("canary", "abort"): _abort,
}
"""Every cell of phase × command. A cell that refuses is filled with its refusal.

``retrain`` has no cell: it changes no rollout state, and goes to the retrain agent."""
