"""Fresh names for every test, so that none sees another's records, versions or group."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from ops.bench.rig.synthetic import watched_once
from registry.scoring.model_arrays import ModelArrays
from registry.settings import Settings, read_settings, to_environment
from registry.versions.manifest import Description, Parameters
from registry.versions.store import Store
from registry.wire.training_records.event_weights import DEFAULT, parse_event_weights
from registry.wire.training_records.gate_results import Check, DataSnapshot, Gate

environment_of = to_environment

OPEN_GATE: Final = {
    "retrain_tolerance": 1.0,
    "retrain_inconclusive": "publish",
    "retrain_max_missing_items": 1.0,
}
"""Settings whose gate publishes what is not clearly worse than popularity, whatever it makes of few
held-out interactions. For tests of something else than the gate.
"""


def fresh_settings(bootstrap: str, folder: Path, **variables: str) -> Settings:
    """Return settings with a topic prefix and a registry of their own; `variables` go before."""
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "RECSTREAM_TOPIC_PREFIX": f"t-{uuid.uuid4().hex[:12]}",
        "MODEL_REGISTRY": str(folder / "model_registry"),
        "RECSTREAM_HTTP_PORT": "0",
        "RECSTREAM_PARTITIONS": "4",
        "RECSTREAM_SESSION_TIMEOUT": "6",
        "RETRAIN_NICENESS": "0",  # tests run side by side: what is left may be nothing for long
    }
    return read_settings(given | variables)


def publish_model(
    settings: Settings,
    users: int = 50,
    items: int = 40,
    factors: int = 8,
    seed: int = 0,
    arrays: ModelArrays | None = None,
    snapshot_ends: dict[str, tuple[int, int]] | None = None,
    mergeable: bool = False,
    event_weights: str = DEFAULT,
) -> str:
    """Publish a version of random factors; users are 1..users, items 1..items; return its name.

    User ``u`` has seen the items ``u % items + 1`` and ``(u + 1) % items + 1``. With `arrays` it is
    made of those instead. Its snapshot
    is empty, so that all interactions are fresh, unless `snapshot_ends` says otherwise. It keeps
    what later events are merged with (format 2) if it is to be `mergeable`.
    """
    if arrays is None:
        arrays = random_arrays(users, items, factors, seed)
        if mergeable:
            arrays = replace(arrays, learned=watched_once(2 * users))
    users, factors = arrays.user_factors.shape
    items = len(arrays.item_ids)
    snapshot = DataSnapshot(
        id=f"test-{seed}",
        topic=f"{settings.topic_prefix}.interactions",
        partitions=snapshot_ends or {str(n): (0, 0) for n in range(settings.partitions)},
        interactions=2 * users,
        users=users,
        items=items,
    )
    description = Description(
        model_name=settings.model_name,
        created_at="2026-01-01T00:00:00Z",
        created_by="test",
        git_sha="0" * 40,
        image_digest="",
        data_snapshot=snapshot,
        parameters=Parameters(
            factors=factors,
            iterations=1,
            regularization=0.05,
            alpha=1.0,
            seed=seed,
            event_weights={} if event_weights == DEFAULT else parse_event_weights(event_weights),
        ),
        metrics={"ndcg_at_10": 0.5},
        gate=Gate(passed=True, checks=(Check("users", "pass", str(users), "at least 1"),)),
    )
    return Store(settings.model_registry).publish(arrays, description).version


def random_arrays(users: int, items: int, factors: int, seed: int) -> ModelArrays:
    """Return the arrays of :func:`publish_model`."""
    random = np.random.default_rng(seed)
    rows = np.arange(users)[:, None] + np.array([1, 2])  # user u = row + 1 has seen u and u + 1
    return ModelArrays(
        user_factors=random.normal(size=(users, factors)).astype(np.float32),
        item_factors=random.normal(size=(items, factors)).astype(np.float32),
        user_ids=list(range(1, users + 1)),
        item_ids=list(range(1, items + 1)),
        seen_indptr=np.arange(0, 2 * users + 1, 2, dtype=np.int64),
        seen_items=np.sort(rows % items, axis=1).astype(np.int32).ravel(),
        popularity=random.permutation(items).astype(np.float64) + 1,
        titles=[f"Film {item}" for item in range(1, items + 1)],
    )


def without(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` without our variables, so that a shell's settings leak into no test."""
    ours = {field.alias for field in Settings.model_fields.values()}
    return {name: value for name, value in environment.items() if name not in ours}
