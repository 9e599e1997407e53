"""Builders: small valid values, so that a test shows only what matters to it."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from registry.scoring.model_arrays import ModelArrays
from registry.versions.manifest import Description, FileEntry, Manifest, Parameters
from registry.wire.commands import KINDS
from registry.wire.counts import ArmCounts
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import Instant
from registry.wire.ramp_values import Ramp, RampState
from registry.wire.requests import Request
from registry.wire.rollout_state import RolloutState
from registry.wire.training_records.gate_results import DataSnapshot, Gate

BEGAN = Instant.read("2026-01-01T00:00:00.000+00:00")
BEGAN_AT = 1_767_225_600.0
"""When each ramp's stage here began, as records say it, and in seconds since the epoch."""


def a_state(**given: Any) -> RolloutState:
    fields: dict[str, Any] = {
        "environment": "production",
        "epoch": 7,
        "strategy": "fixed",
        "primary_version": "v0.1",
    }
    return RolloutState(**fields | given)


def a_canary_state(**given: Any) -> RolloutState:
    fields: dict[str, Any] = {
        "strategy": "canary",
        "canary_version": "v0.2",
        "canary_percentage": 10.0,
        "previous_versions": ("v0.0",),
    }
    return a_state(**fields | given)


def a_plan(**given: Any) -> Ramp:
    """Return a ramp over 10 and 100 %, a minute each, and half a minute of soak."""
    fields: dict[str, Any] = {"steps": (10.0, 100.0), "hold_seconds": 60.0, "soak_seconds": 30.0}
    return Ramp(**fields | given)


def a_ramp(stage: int = 1, plan: Ramp | None = None, **given: Any) -> RampState:
    """Return a ramp of the version that `a_canary_state` has on trial."""
    fields: dict[str, Any] = {"since": BEGAN, "version": "v0.2"}
    return RampState(plan or a_plan(), "deploy", stage, **fields | given)


def a_ramping_state(ramp: RampState | None = None, **given: Any) -> RolloutState:
    """Return a canary of 10 % in the first step of its ramp."""
    return a_canary_state(ramp=ramp or a_ramp(), **given)


def a_soaking_state(ramp: RampState | None = None, **given: Any) -> RolloutState:
    """Return what `a_ramping_state` becomes once it is promoted."""
    fields: dict[str, Any] = {"primary_version": "v0.2", "previous_versions": ("v0.1", "v0.0")}
    return a_state(**fields | {"ramp": ramp or a_ramp(stage=3)} | given)


def an_arm(variant: str, version: str, requests: int = 20_000, **given: Any) -> ArmCounts:
    """Return an arm of which all is well: a millisecond of scoring, and no error."""
    fields: dict[str, Any] = {"users": requests // 10, "scoring": {-172: requests}}
    return ArmCounts(variant, version, requests, **fields | given)


def a_heartbeat(worker: str = "w1", **given: Any) -> Heartbeat:
    """Return what a worker says that acts on epoch 7 with both versions ready."""
    fields: dict[str, Any] = {
        "instance": f"{worker}@start",
        "environment": "production",
        "at": BEGAN_AT,
        "epoch": 7,
        "ready": ("v0.1", "v0.2"),
    }
    return Heartbeat(worker=worker, **fields | given)


def a_command(kind: Any, **given: Any) -> Any:
    return KINDS[kind](**{"command_id": "c1", "issued_by": "anna"} | given)


def a_request(user_id: Any = 1, **given: Any) -> Request:
    return Request(request_id="r1", user_id=user_id, **given)


def some_arrays(users: int = 5, items: int = 7, factors: int = 3, **given: Any) -> ModelArrays:
    """Factors are whole numbers, so that float32 scores are exact and can be compared by ``==``."""
    random = np.random.default_rng(given.pop("seed", 0))
    seen = [np.sort(random.choice(items, size=items // 3, replace=False)) for _ in range(users)]
    fields: dict[str, Any] = {
        "user_factors": random.integers(1, 9, size=(users, factors)).astype(np.float32),
        "item_factors": random.integers(-9, 9, size=(items, factors)).astype(np.float32),
        "user_ids": list(range(1, users + 1)),
        "item_ids": [f"film-{row}" for row in range(items)],
        "seen_indptr": np.cumsum([0, *map(len, seen)]).astype(np.int64),
        "seen_items": np.concatenate(seen).astype(np.int32),
        "popularity": random.integers(0, 4, size=items).astype(np.float64),
        "titles": [f"Film {row}" if row % 2 else None for row in range(items)],
    }
    return ModelArrays(**fields | given)


def a_description(**given: Any) -> Description:
    fields: dict[str, Any] = {
        "model_name": "als",
        "created_at": "2026-01-01T00:00:00Z",
        "created_by": "a test",
        "git_sha": "abc",
        "image_digest": "",
        "data_snapshot": DataSnapshot("s1", "reco.interactions", {"0": (0, 100)}, 100, 5, 7),
        "parameters": Parameters(3, 15, 0.05, 1.0, 42),
        "metrics": {"ndcg_at_10": 0.1},
        "gate": Gate(True, ()),
    }
    return Description(**fields | given)


def a_manifest(version: str = "v0.1", **given: Any) -> Manifest:
    fields: dict[str, Any] = {
        name: getattr(a_description(), name) for name in Description.__struct_fields__
    }
    fields["files"] = {"als/titles.json": FileEntry("0" * 64, 2)}
    return Manifest(version=version, **fields | given)


class KeyPair(NamedTuple):
    """A private key and its public one, as settings hold them."""

    private: str
    public: str


def a_key_pair(seed: int = 1) -> KeyPair:
    """Return the pair of a seed, 0..255."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return KeyPair(base64.b64encode(private).decode(), base64.b64encode(public).decode())
