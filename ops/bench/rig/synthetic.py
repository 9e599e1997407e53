"""Synthetic models and requests, the same for everyone who is measured.

Knows sizes and seeds. Must not know Kafka's clients. Factors are random: what scoring costs depends
on their shape, not on what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from registry.fold_in.learned_cells import FurtherEvents, LearnedCells
from registry.ids import UserId
from registry.kafka.topics import topics_of
from registry.scoring.model_arrays import ModelArrays
from registry.settings import Settings
from registry.versions.manifest import Description, Parameters
from registry.versions.store import Store
from registry.wire.codec import encode
from registry.wire.requests import Request
from registry.wire.training_records.gate_results import DataSnapshot, Gate

USERS: Final = 20_000
ITEMS: Final = 10_000
FACTORS: Final = 64
SEEN: Final = 50
"""Items that each user has seen, and that no answer may hold: about a MovieLens user's median."""

K: Final = 10
WATCHED_AT: Final = 1_750_000_000
"""Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a synthetic model is; `seen` items of each user."""

    users: int = USERS
    items: int = ITEMS
    factors: int = FACTORS
    seen: int = SEEN


def arrays_of(shape: Shape, seed: int) -> ModelArrays:
    """Return a model of this shape; the same one for the same seed."""
    random = np.random.default_rng(seed)
    seen = random.integers(0, shape.items, (shape.users, shape.seen), dtype=np.int32)
    return ModelArrays(
        user_factors=random.standard_normal((shape.users, shape.factors), dtype=np.float32),
        item_factors=random.standard_normal((shape.items, shape.factors), dtype=np.float32),
        user_ids=list(range(1, shape.users + 1)),
        item_ids=list(range(1, shape.items + 1)),
        seen_indptr=np.arange(0, seen.size + 1, shape.seen, dtype=np.int64),
        seen_items=np.sort(seen, axis=1).ravel(),
        popularity=random.random(shape.items),
        titles=[f"Film number {row} (1999)" for row in range(shape.items)],
        learned=watched_once(seen.size),
    )


def watched_once(cells: int) -> LearnedCells:
    """Return what a version learned of so many cells: one `watch` of each, all at the same time."""
    none = FurtherEvents(
        np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0, np.float32), np.empty(0, np.int32)
    )
    return LearnedCells(
        kinds=("watch",),
        kind=np.zeros(cells, np.int8),
        value=np.ones(cells, np.float32),
        time=np.full(cells, WATCHED_AT, np.int32),
        further=none,
        newest=float(WATCHED_AT),
    )


def description_of(shape: Shape, seed: int, topic: str = "", partitions: int = 0) -> Description:
    """Return what a manifest says of :func:`arrays_of`.

    Its snapshot is empty: all that is in `topic`, of so many partitions, is fresh for it.
    """
    ends = {str(number): (0, 0) for number in range(partitions)}
    interactions = shape.users * shape.seen
    return Description(
        model_name="als",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        created_by="recstream bench",
        git_sha="",
        image_digest="",
        data_snapshot=DataSnapshot(
            f"synthetic:{seed}", topic, ends, interactions, shape.users, shape.items
        ),
        parameters=Parameters(shape.factors, 1, 0.05, 1.0, seed),
        metrics={},
        gate=Gate(True, ()),
    )


def publish_model(registry: str, seed: int, shape: Shape = Shape()) -> str:
    """Publish a version, with 20,000 users and 10,000 items × 64 factors; return its name."""
    return Store(registry).publish(arrays_of(shape, seed), description_of(shape, seed)).version


def publish_model_before(settings: Settings, seed: int, shape: Shape = Shape()) -> str:
    """Publish a version for which all interactions of these topics are fresh; return its name."""
    description = description_of(
        shape, seed, topics_of(settings).interactions.name, settings.partitions
    )
    return Store(settings.model_registry).publish(arrays_of(shape, seed), description).version


def requests(count: int) -> Iterator[tuple[UserId, bytes]]:
    """Yield `count` requests of known users, k = 10, as (key, record); the ids count up from 0."""
    users = np.random.default_rng(0).integers(1, USERS + 1, count).tolist()
    for number, user in enumerate(users):
        yield user, encode(Request(str(number), user, k=K))
