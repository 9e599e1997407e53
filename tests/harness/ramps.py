"""Ramps in tests: plans with short holds, how one ended, what its owner would see."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from harness.client import Answer, Client
from harness.waiting import wait_until

from registry.rollout.ramp_decision import Look, look
from registry.wire.instants import read_instant
from registry.wire.rollout_state import RolloutState

WIDE: Final = {
    "error_rate": 0.5,
    "fallback_rate": 0.5,
    "empty_rate": 0.5,
    "latency_ratio": 20.0,
    "latency_quantile": 0.5,
}
"""Guardrails that a version as good passes after some twenty requests, on however busy a machine:
what is to fail in a test narrows the one that should find it."""


def a_plan(steps: Iterable[float], **given: Any) -> dict[str, Any]:
    """Return a ramp over `steps` with short holds; ``guardrails`` given go over `WIDE`."""
    plan: dict[str, Any] = {
        "steps": list(steps),
        "hold_seconds": 1.0,
        "min_requests": 20,
        "patience_seconds": 60.0,
    }
    return plan | given | {"guardrails": WIDE | given.get("guardrails", {})}


def start_ramp(client: Client, version: str, plan: dict[str, Any], **fields: Any) -> str:
    """Command a ramp and return its id, once it is under way."""
    command = {"type": "rollout", "canary_version": version, "bucketing": "hash", "ramp": plan}
    result = client.command(**command | fields)
    assert result["status"] == "applied", result
    return str(result["command_id"])


def applied(client: Client, environment: str | None = None) -> list[Answer]:
    """Return the applied commands so far, each once, in the order of their epochs.

    The result of a command that is delivered again after its decider died is reported again, and
    then without states.
    """
    by_epoch: dict[int, Answer] = {}
    for result in list(client.trail):
        if result["status"] == "applied" and result["type"] != "retrain":
            by_epoch.setdefault(result["epoch"], result)
    wanted = environment or client.settings.environment
    return [
        by_epoch[epoch] for epoch in sorted(by_epoch) if by_epoch[epoch]["environment"] == wanted
    ]


def state_after(result: Answer) -> RolloutState:
    """Return the rollout state that an applied command made."""
    return msgspec.convert(result["after"], RolloutState, str_keys=True, dec_hook=read_instant)


def end_of(client: Client, ramp_id: str, seconds: float, environment: str | None = None) -> Answer:
    """Return the command that ended the ramp."""

    def ended() -> Answer | None:
        for result in applied(client, environment):
            ramp = result.get("after", {}).get("ramp") or {}
            if ramp.get("ramp_id") == ramp_id and ramp.get("outcome"):
                return result
        return None

    try:
        return wait_until(ended, seconds, f"ramp {ramp_id} to end")
    except AssertionError as error:
        raise AssertionError(f"{error}; last look: {last_look(client, environment)}") from None


def last_look(client: Client, environment: str | None = None) -> Look | None:
    """Return what the owner sees of the ramp now, by the heartbeats that came here as well."""
    commands = applied(client, environment)
    if not commands:
        return None
    state = state_after(commands[-1])
    return look(state, tuple(client.fleet.values()), time.time())


def wait_for_step(client: Client, ramp_id: str, percentage: float, seconds: float) -> Answer:
    """Return the command with which the ramp began the step of `percentage`."""

    def step_result() -> Answer | None:
        for result in applied(client):
            after = result.get("after", {})
            mine = (after.get("ramp") or {}).get("ramp_id") == ramp_id
            if mine and after["canary_percentage"] == percentage and result["type"] == "step":
                return result
        return None

    try:
        return wait_until(step_result, seconds, f"the step of {percentage:g} %")
    except AssertionError as error:
        raise AssertionError(f"{error}; last look: {last_look(client)}") from None
