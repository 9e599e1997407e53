"""Outcomes followed without a worker: an experiment of two versions, its answers and its sums."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from harness.waiting import wait_until

from ops.clients import kafka_client
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.instants import Instant
from registry.wire.responses import Item, Provenance, Response
from registry.wire.rollout_state import RolloutState
from streams.delivery.producer import Delivery
from streams.outcomes.outcome_follower import OutcomeFollower

EPOCH = 7


@asynccontextmanager
async def following_outcomes(settings: Settings) -> AsyncIterator[OutcomeFollower]:
    """Follow all partitions of an experiment that begins now."""
    topics, began = topics_of(settings), Instant.of(time.time())
    state = RolloutState("production", EPOCH, "ab_test", "v0.1", "v0.2", updated_at=began)
    partitions = range(topics.responses.partitions)
    delivery = Delivery(settings)
    delivery.start()
    follower = OutcomeFollower(settings, topics, lambda: (state, partitions), delivery)
    follower.start()
    try:
        yield follower
    finally:
        follower.stop()
        await delivery.stop()


def answer_of(settings: Settings, user: int) -> None:
    """Produce an answer of the experiment for a user."""
    record = encode(an_answer(user))
    kafka_client.produce_all(settings, topics_of(settings).responses, [(str(user), record)])


def an_answer(user: int, items: Sequence[int] = ()) -> Response:
    """Return an answer of the experiment."""
    variant, version = ("B", "v0.2") if user % 2 else ("A", "v0.1")
    return Response(
        f"r{user}", user, "ok", variant=variant, model_version=version,
        items=[Item(item, 1.0) for item in items],
        provenance=Provenance("production", "w1", rollout_epoch=EPOCH),
    )  # fmt: skip


async def until_closed(follower: OutcomeFollower, users: int, seconds: float) -> None:
    """Wait until so many users have closed."""

    def closed() -> bool:
        return sum(part.sums.users for part in follower.progress.sums) == users

    await asyncio.to_thread(wait_until, closed, seconds, f"{users} users to close")
