"""Made-up models and requests, the same for everyone who is measured.

Knows sizes and seeds. Must not know Kafka. Factors are random: what scoring costs depends on their
shape, not on what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import numpy as np

from registry.artifact import ModelArrays
from registry.ids import UserId
from registry.manifest import DataSnapshot, Gate, Parameters
from registry.records import Request, encode
from registry.store import Description, Store

USERS: Final = 20_000
ITEMS: Final = 10_000
FACTORS: Final = 64
SEEN: Final = 50
"""Items that each user has seen, and that no answer may hold: about a MovieLens user's median."""

K: Final = 10


def publish_model(registry: str, seed: int) -> str:
    """Publish a version with 20,000 users and 10,000 items × 64 factors; return its name."""
    random = np.random.default_rng(seed)
    seen = np.sort(random.integers(0, ITEMS, (USERS, SEEN), dtype=np.int32), axis=1)
    arrays = ModelArrays(
        user_factors=random.standard_normal((USERS, FACTORS), dtype=np.float32),
        item_factors=random.standard_normal((ITEMS, FACTORS), dtype=np.float32),
        user_ids=list(range(1, USERS + 1)),
        item_ids=list(range(1, ITEMS + 1)),
        seen_indptr=np.arange(0, USERS * SEEN + 1, SEEN, dtype=np.int64),
        seen_items=seen.ravel(),
        popularity=random.random(ITEMS),
        titles=[f"Film number {row} (1999)" for row in range(ITEMS)],
    )
    description = Description(
        model_name="als",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        created_by="recstream bench",
        git_sha="",
        image_digest="",
        data_snapshot=DataSnapshot(f"synthetic:{seed}", "", {}, USERS * SEEN, USERS, ITEMS),
        parameters=Parameters(FACTORS, 1, 0.05, 1.0, seed),
        metrics={},
        gate=Gate(True, ()),
    )
    return Store(registry).publish(arrays, description).version


def requests(count: int) -> Iterator[tuple[UserId, bytes]]:
    """Yield `count` requests of known users, k = 10, as (key, record); the ids count up from 0."""
    users = np.random.default_rng(0).integers(1, USERS + 1, count).tolist()
    for number, user in enumerate(users):
        yield user, encode(Request(str(number), user, k=K))
