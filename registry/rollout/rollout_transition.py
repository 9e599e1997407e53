"""What the command ``rollout`` does to a state: the fields given change, and a ramp may start.

Pure, like the table of `registry.rollout.command_transitions`, of which this is a cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

from msgspec import UNSET
from msgspec.structs import replace

from registry.error_codes import CommandCode
from registry.errors import RefusedCommand
from registry.ramp_plans.outcome_requirements import needs_outcomes
from registry.ramp_plans.percentages import require_percentage
from registry.rollout.ramp_handover import require_no_trial
from registry.rollout.ramp_transitions import end_ramp, new_ramp
from registry.wire.commands import Command, Rollout
from registry.wire.field_types import Bucketing, Strategy
from registry.wire.instants import Instant
from registry.wire.ramp_values import Ramp
from registry.wire.rollout_state import RolloutState

ROLLOUT_FIELDS: Final = (
    "strategy",
    "canary_version",
    "canary_percentage",
    "bucketing",
    "salt",
    "shadow_sample_percentage",
)
"""What ``rollout`` can change; only the fields given do."""


def change_fields(state: RolloutState, command: Rollout, at: Instant) -> RolloutState:
    """Change the fields given, and only those; the outcome is checked as a whole."""
    given = {
        name: value for name in ROLLOUT_FIELDS if (value := getattr(command, name)) is not UNSET
    }
    if not given and command.ramp is UNSET:
        raise RefusedCommand(
            f"rollout: no field given; give ramp, {' or '.join(ROLLOUT_FIELDS)}",
            CommandCode.NOTHING_GIVEN,
        )
    if isinstance(command.ramp, Ramp):
        require_no_trial(state, command)
        given = _ramp_fields(given)
    elif command.environments is not UNSET:
        raise RefusedCommand(
            "environments: only a ramp goes through environments", CommandCode.BAD_RAMP
        )
    elif command.fit is not None:
        raise RefusedCommand("fit: only a ramp is fitted to the traffic", CommandCode.BAD_RAMP)
    _require_one_of("strategy", given, get_args(Strategy), CommandCode.BAD_STRATEGY)
    _require_one_of("bucketing", given, get_args(Bucketing), CommandCode.BAD_BUCKETING)
    after: RolloutState = replace(end_ramp(state, "cancelled"), **given)
    _require_versions(after)
    require_percentage("canary_percentage", after.canary_percentage, after.bucketing)
    require_percentage("shadow_sample_percentage", after.shadow_sample_percentage, "hash")
    if given.get("canary_percentage") and after.canary_version is None:
        raise RefusedCommand(
            f"canary_percentage {after.canary_percentage:g}: there is no canary version for them; "
            f"give canary_version and strategy as well",
            CommandCode.NO_CANARY,
        )
    if isinstance(command.ramp, Ramp):
        after = replace(after, ramp=new_ramp(command.ramp, command, after, at))
    return after


def refusal_beside(command: Command, older_workers: Iterable[str]) -> RefusedCommand | None:
    """Return why a command cannot be carried out while workers of an older release are live.

    They do not know the strategy ``interleave``, nor ramps that are decided by outcomes, and could
    not read a state that has either.

    Parameters
    ----------
    command
        Of any kind.
    older_workers
        Their names.
    """
    workers = ", ".join(sorted(older_workers))
    if not workers or not isinstance(command, Rollout):
        return None
    is_ramp_by_outcomes = isinstance(command.ramp, Ramp) and needs_outcomes(command.ramp)
    if command.strategy != "interleave" and not is_ramp_by_outcomes:
        return None
    what = "a ramp that is decided by outcomes" if is_ramp_by_outcomes else "strategy interleave"
    return RefusedCommand(
        f"{what}: not known to workers of an earlier release ({workers}); upgrade "
        f"them, and give the command again a minute later",
        CommandCode.OLDER_WORKERS,
    )


def _ramp_fields(given: dict[str, Any]) -> dict[str, Any]:
    """Return `given` with what a ramp sets itself; refuse what would contradict it."""
    for name in ("strategy", "canary_percentage", "shadow_sample_percentage"):
        if name in given:
            raise RefusedCommand(f"{name}: the ramp sets it; leave it out", CommandCode.BAD_RAMP)
    return given | {"strategy": "canary", "canary_percentage": 0.0}


def _require_versions(after: RolloutState) -> None:
    if after.strategy != "fixed" and after.canary_version is None:
        raise RefusedCommand(
            f"strategy {after.strategy}: needs a canary_version", CommandCode.NO_CANARY
        )
    if after.canary_version == after.primary_version:
        raise RefusedCommand(
            f"canary_version {after.canary_version}: is already the primary version",
            CommandCode.CANARY_IS_PRIMARY,
        )


def _require_one_of(
    field: str, given: Mapping[str, object], allowed: tuple[str, ...], code: CommandCode
) -> None:
    value = given.get(field)
    if value is not None and value not in allowed:
        raise RefusedCommand(f"{field} {value!r}: must be one of {', '.join(allowed)}", code)
