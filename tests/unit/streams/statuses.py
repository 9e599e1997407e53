"""Builders of what the status page shows."""

from __future__ import annotations

from typing import Any

from registry.guardrails.fleet_counts import arms_at, shadow_at
from registry.rollout.ramp_decision import look
from registry.versions.manifest import Manifest, Parameters
from registry.wire.command_results import CommandResult
from registry.wire.counts import ArmCounts
from registry.wire.field_types import AnswerError
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import Instant
from registry.wire.ramp_values import Ramp, RampState
from registry.wire.rollout_state import RolloutState
from registry.wire.training_records.gate_results import Check, DataSnapshot, Gate
from registry.wire.training_records.training_messages import TrainingResult, TrainingRun
from streams.page.fleet_overview import shadow_of, split_of, traffic_of, workers_of
from streams.page.status import PartitionLag, Status, VersionStatus, VersionTraffic
from streams.watch.notices import Reason

NOW = Instant.read("2026-11-23T12:00:00+00:00")
SECONDS = NOW.timestamp()


def a_status(**given: Any) -> Status:
    """A worker that has just started: nothing has happened yet."""
    fields: dict[str, Any] = {
        "worker": "worker-1",
        "environment": "production",
        "program_version": "0.1.0",
        "started_at": Instant.read("2026-11-23T11:59:00+00:00"),
        "now": NOW,
        "reasons": (),
        "rollout": None,
        "acting_epoch": None,
        "lease_age_seconds": None,
        "lease_seconds": 20.0,
        "owns_control": False,
        "versions": (),
        "lag": (),
        "requests_per_second": 0.0,
        "fallbacks_by_reason": {},
        "dead_letters": 0,
        "training": None,
        "commands": (),
    }
    return Status(**fields | given)


def a_state(**given: Any) -> RolloutState:
    fields: dict[str, Any] = {
        "environment": "production",
        "epoch": 41,
        "strategy": "fixed",
        "primary_version": "v0.3",
        "updated_at": Instant.read("2026-11-23T11:57:00+00:00"),
        "updated_by": "anna",
    }
    return RolloutState(**fields | given)


def a_canary(percentage: float = 10.0, **given: Any) -> RolloutState:
    trial = {"strategy": "canary", "canary_version": "v0.4", "canary_percentage": percentage}
    return a_state(**trial | given)


def a_manifest(version: str = "v0.3", **given: Any) -> Manifest:
    fields: dict[str, Any] = {
        "version": version,
        "model_name": "als",
        "created_at": "2026-11-23T09:00:00+00:00",
        "created_by": "timer@worker-2",
        "git_sha": "ad22e9b1c2d3e4f5a6b7",
        "image_digest": "sha256:feed",
        "data_snapshot": DataSnapshot("sha256:5c1e", "t", {"0": (0, 9)}, 100_836, 610, 9_724),
        "parameters": Parameters(64, 15, 0.05, 40.0, 7),
        "metrics": {"ndcg_at_10": 0.12041, "hr_at_10": 0.4131},
        "gate": Gate(True, ()),
        "files": {},
    }
    return Manifest(**fields | given)


def a_version(version: str = "v0.3", **given: Any) -> VersionStatus:
    fields: dict[str, Any] = {"role": "primary", "residency": "ready", "share": 100.0}
    return VersionStatus(version=version, **fields | given)


def a_run(**given: Any) -> TrainingRun:
    fields: dict[str, Any] = {
        "run_id": "run-7",
        "worker": "worker-2",
        "requested_by": "anna",
        "started_at": Instant.read("2026-11-23T11:58:00+00:00"),
        "updated_at": Instant.read("2026-11-23T11:58:09+00:00"),
    }
    return TrainingRun(**fields | given)


def a_result(status: Any = "published", **given: Any) -> TrainingResult:
    return TrainingResult("run-7", status, **given)


def a_command_result(**given: Any) -> CommandResult:
    fields: dict[str, Any] = {
        "command_id": "c1",
        "type": "swap",
        "environment": "production",
        "status": "applied",
        "epoch": 41,
        "issued_by": "anna",
        "at": Instant.read("2026-11-23T11:57:00+00:00"),
    }
    return CommandResult(**fields | given)


def a_plan(**given: Any) -> Ramp:
    fields: dict[str, Any] = {"steps": (5.0, 50.0, 100.0), "hold_seconds": 600}
    return Ramp(**fields | given)


def a_ramp(stage: int = 1, **given: Any) -> RampState:
    """A ramp that has been in its stage for four minutes."""
    fields: dict[str, Any] = {"plan": a_plan(), "since": Instant.read("2026-11-23T11:56:00+00:00")}
    return RampState(ramp_id="c9", stage=stage, **fields | given)


def a_heartbeat(worker: str = "worker-1", **given: Any) -> Heartbeat:
    fields: dict[str, Any] = {"at": SECONDS - 0.5, "epoch": 41, "ready": ("v0.3", "v0.4")}
    return Heartbeat(worker, f"{worker}@1", "production", **fields | given)


def an_arm(variant: str, version: str, requests: int = 1_000, **given: Any) -> ArmCounts:
    fields: dict[str, Any] = {"users": requests // 2, "scoring": {-430: requests}}
    return ArmCounts(variant, version, requests, **fields | {"latency": {-250: requests}} | given)


def a_fleet_status(state: RolloutState, *fleet: Heartbeat, **given: Any) -> Status:
    """What a worker says that knows `state` and `fleet`."""
    arms = arms_at(fleet, state.epoch)
    fields: dict[str, Any] = {
        "rollout": state,
        "acting_epoch": state.epoch,
        "fleet": workers_of(fleet, SECONDS),
        "arms": traffic_of(arms),
        "shadow": shadow_of(shadow_at(fleet, state.epoch)),
        "look": look(state, fleet, SECONDS),
        "split": split_of(state, arms),
    }
    return a_status(**fields | given)


def everything() -> Status:
    checks = (
        Check("users", "pass", "610", "at least 20"),
        Check("better_than_popularity", "fail", "NDCG@10 0.0702", "more than 0.0811"),
    )
    failed = a_result(
        "refused", code="gate", reason="worse than popularity", gate=Gate(False, checks)
    )
    return a_status(
        reasons=(Reason("lease", "Kafka is silent"),),
        rollout=a_canary(previous_versions=("v0.2",), salt="autumn", reason="a trial"),
        acting_epoch=40,
        lease_age_seconds=3.0,
        owns_control=True,
        versions=(
            a_version(
                share=90.0, manifest=a_manifest(), traffic=VersionTraffic(1_234, 5, 4.3, 18.7)
            ),
            a_version("v0.4", role="canary", residency="failed", share=10.0, error="a flipped bit"),
        ),
        lag=(PartitionLag(0, 12), PartitionLag(1, 0)),
        requests_per_second=298.4,
        fallbacks_by_reason={"version_not_ready": 31},
        dead_letters=7,
        training=a_run(result=failed),
        commands=(
            a_command_result(status="rejected", error=AnswerError("bad_percentage", "101: no")),
        ),
    )
