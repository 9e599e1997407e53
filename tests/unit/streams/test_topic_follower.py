"""What a worker does when topics were recreated."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness.builders import some_parts

from registry.kafka.broker_topics import SeenTopic
from streams.kafka.slices import SliceConsumer
from streams.topic_follower import follow_topics


class Rebalancing(SliceConsumer):
    """A consumer whose first seek comes in a rebalance."""

    def __init__(self) -> None:
        """Without Faust."""
        self.failures = iter([RuntimeError("the partition is not assigned")])
        self.read: list[str] = []

    async def read_anew(self, topic: str) -> None:
        for failure in self.failures:
            raise failure
        self.read.append(topic)


def test_a_seek_that_fails_in_a_rebalance_forgets_no_recreated_topic(tmp_path: Path) -> None:
    parts = some_parts(tmp_path)
    parts.app.consumer = consumer = Rebalancing()
    parts.table.is_owner = False
    reread: Counter[str] = Counter()
    parts.items.read_anew = lambda: reread.update(["items"])
    names = [parts.topics.items.name, parts.topics.interactions.name]
    looks: list[dict[str, Any]] = [
        {name: SeenTopic(topic_id, 1) for name in names} for topic_id in ("old", "new")
    ]
    for seen in looks:
        parts.watch._made_again |= parts.watch._changes.look(seen)

    def look() -> None:
        asyncio.run(
            follow_topics(
                parts.watch,
                parts.app,
                parts.table,
                parts.node.view,
                parts.metrics,
                parts.items,
                [lambda topic: reread.update([topic])],
            )
        )

    async def see_nothing_new() -> None:
        """Instead of asking Kafka."""

    parts.watch.look = see_nothing_new
    with pytest.raises(RuntimeError):
        look()
    assert reread == Counter({"items": 1} | dict.fromkeys(names, 1))
    look()
    look()
    assert consumer.read == sorted(names)
    assert reread == Counter({"items": 1} | dict.fromkeys(names, 1))
