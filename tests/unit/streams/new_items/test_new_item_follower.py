"""The follower of new items: what it says when its records do not get through."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaError

from registry.errors import RefusedRecord, TransportError
from registry.kafka.topics import topics_of
from registry.new_items.item_shares import NewItem
from registry.new_items.new_item_records import encode_key, record_of_vector
from registry.settings import Settings
from registry.wire.codec import encode
from streams.delivery.outgoing import refused_record
from streams.fresh.fresh_reading import NOTHING_READ
from streams.fresh.freshness import Freshness, Shares
from streams.new_items import new_item_follower
from streams.new_items.new_item_follower import NewItemFollower
from streams.new_items.overlay_solving import KeyedRecord

SETTINGS = Settings()
TOPIC = topics_of(SETTINGS).new_items


def a_message(number: int, offset: int, key: Any = None, value: Any = None) -> Any:
    error = None if value else KafkaError(KafkaError._PARTITION_EOF)
    return SimpleNamespace(
        error=lambda: error, topic=lambda: TOPIC.name, partition=lambda: number,
        offset=lambda: offset, key=lambda: key, value=lambda: value,
    )  # fmt: skip


class Broker:
    """A consumer of the topic, which has a vector of a version that is gone."""

    def __init__(self) -> None:
        new = NewItem(3, np.ones(2, np.float32))
        gone = KeyedRecord.of(record_of_vector("v0.0", "film", new))
        vector = a_message(0, 0, encode_key(gone.key), encode(gone.record))
        self.batches: Iterator[list[Any]] = iter([[vector, a_message(0, 1), a_message(1, 0)]])

    def list_topics(self, *_: Any, **__: Any) -> Any:
        shown = SimpleNamespace(partitions=dict.fromkeys(range(2)), error=None)
        return SimpleNamespace(topics={TOPIC.name: shown})

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return 0, 1

    def assign(self, _: Any) -> None:
        """It reads what it has."""

    def consume(self, *_: Any) -> list[Any]:
        return next(self.batches, [])


class Refused:
    """Delivery to a topic that may not be written."""

    async def send(self, _: Any) -> None:
        raise refused_record(TOPIC.name, None, "not authorized")


class NeverConfirmed:
    """Delivery to a broker that confirms nothing."""

    async def send(self, _: Any) -> None:
        await asyncio.Event().wait()


async def trouble_after(delivery: Any, error: type[Exception]) -> str | None:
    following: Any = SimpleNamespace(reading=NOTHING_READ)
    freshness = Freshness(SETTINGS, "reco.interactions", following, lambda: Shares((), 0, 0))
    follower = NewItemFollower(
        SETTINGS, TOPIC, delivery, freshness,
        models=dict, is_owner=lambda: True, kept=lambda: ("v0.1",),
    )  # fmt: skip
    follower._loop = asyncio.get_running_loop()
    follower.trouble = "of before"
    consumer: Any = Broker()
    with pytest.raises(error):
        await asyncio.wait_for(asyncio.to_thread(follower._follow, consumer), 60)
    return follower.trouble


def test_trouble_stays_while_what_is_sent_is_refused() -> None:
    assert asyncio.run(trouble_after(Refused(), RefusedRecord)) == "of before"


def test_what_is_not_confirmed_for_long_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_item_follower, "UNCONFIRMED_SECONDS", 0.05)
    assert asyncio.run(trouble_after(NeverConfirmed(), TransportError)) == "of before"
