"""Older records: translates what earlier releases encoded in names and ids into today's fields.

Used by the codec alone. A record without an ``origin`` comes from a release that did not have it,
or from a program that does not know it. A record that is not ours is left as it is: the codec
refuses it.
"""

from __future__ import annotations

from typing import Any, Final

from registry.wire.origins import implied_origin

SECOND_ATTEMPT: Final = "-again"
"""What the id of a training run's second attempt ends with."""


def state_origin(record: Any) -> None:
    """Give a command, a result, a rollout state, a run or a control log, as JSON, its origins."""
    if not isinstance(record, dict):
        return
    for name in ("state", "before", "after", "result"):
        state_origin(record.get(name))
    remembered = record.get("remembered")
    for decided in remembered if isinstance(remembered, list) else ():
        state_origin(decided)
    names = (record.get(name) for name in ("issued_by", "updated_by", "requested_by"))
    issuer = next((name for name in names if isinstance(name, str)), None)
    if issuer is None or "origin" in record:
        return
    record["origin"] = implied_origin(issuer)
    _state_ramp(record)
    _state_attempt(record)


def _state_ramp(command: dict[str, Any]) -> None:
    """A ramp's command for the next environment was known by the end of its id."""
    command_id, environment = command.get("command_id"), command.get("environment", "production")
    if (
        command["origin"] == "ramp"
        and command.get("type") == "rollout"
        and isinstance(command_id, str)
        and "ramp" in command
    ):
        command["ramp_id"] = command_id.removesuffix(f"@{environment}")


def _state_attempt(run: dict[str, Any]) -> None:
    run_id = run.get("run_id")
    if isinstance(run_id, str) and run_id.endswith(SECOND_ATTEMPT):
        run["repeats"] = run_id.removesuffix(SECOND_ATTEMPT)
