"""The follower of items: what it says of how far it has read."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError

from registry.errors import TransportError
from registry.kafka.topics import topics_of
from registry.settings import Settings
from streams.catalogue.item_follower import ItemFollower


def a_message(offset: int, error: int | None = None) -> Any:
    return SimpleNamespace(
        error=lambda: None if error is None else KafkaError(error),
        offset=lambda: offset,
        key=lambda: b"film-%d" % offset,
        value=lambda: b'{"title": "A film"}',
    )


class Topic:
    """A consumer of the items topic: two records, its end, and then nothing though it grows."""

    def __init__(self, name: str, partitions: int = 1) -> None:
        self.name = name
        self.partitions = partitions
        self.ends = iter([2, 2, 5, 8])
        self.batches: Iterator[list[Any]] = iter(
            [
                [a_message(0), a_message(1)],
                [a_message(2, KafkaError._PARTITION_EOF)],
            ]
        )

    def list_topics(self, *_: Any, **__: Any) -> Any:
        shown = SimpleNamespace(partitions=dict.fromkeys(range(self.partitions)), error=None)
        return SimpleNamespace(topics={self.name: shown})

    def get_watermark_offsets(self, *_: Any, cached: bool = False, **__: Any) -> tuple[int, int]:
        return 0, 2 if cached else next(self.ends, 8)

    def assign(self, partitions: Any) -> None:
        assert [partition.offset for partition in partitions] == [0]

    def consume(self, *_: Any) -> list[Any]:
        return next(self.batches, [])


def a_follower() -> ItemFollower:
    settings = Settings()
    return ItemFollower(settings, topics_of(settings).items, lambda _: None, lambda _: None)


def test_the_lag_grows_while_reading_has_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.catalogue.item_follower.QUIET_SECONDS", 0)
    monkeypatch.setattr(ItemFollower, "_call", lambda *_: None)
    follower = a_follower()
    consumer: Any = Topic(follower.topic)
    with pytest.raises(TransportError, match="fetches no more"):
        follower._follow(consumer)
    assert follower.lag == 3


def test_a_topic_of_several_partitions_is_a_notice_that_says_what_to_do() -> None:
    follower = a_follower()
    consumer: Any = Topic(follower.topic, partitions=8)
    with pytest.raises(TransportError, match="has 8 partitions and must have 1") as raised:
        follower._follow(consumer)
    follower._has_caught_up = True
    follower._note_trouble(raised.value)
    assert "must be recreated" in str(follower.notice())
