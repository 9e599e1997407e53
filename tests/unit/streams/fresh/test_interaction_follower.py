"""The follower of interactions: what its client brings late does not stop it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from confluent_kafka import OFFSET_INVALID, KafkaError

from registry.kafka.topics import topics_of
from registry.settings import Settings
from streams.fresh.interaction_follower import InteractionFollower


def end_of(number: int, offset: int) -> Any:
    """Return the message with which librdkafka tells that a partition is read to its end."""
    return SimpleNamespace(
        error=lambda: KafkaError(KafkaError._PARTITION_EOF),
        topic=lambda: "reco.interactions",
        partition=lambda: number,
        offset=lambda: offset,
    )


class Broker:
    """A consumer of partitions with ten records each."""

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return 0, 10

    def assign(self, partitions: Any) -> None:
        assert all(partition.offset != OFFSET_INVALID for partition in partitions)

    def consume(self, *_: Any) -> list[Any]:
        return []


def test_a_partition_whose_end_comes_after_it_was_dropped_can_be_followed_again() -> None:
    consumer: Any = Broker()
    settings = Settings()
    follower = InteractionFollower(settings, topics_of(settings).interactions)
    follower._begin(consumer, {0: 4})
    follower._take([end_of(1, 7)])
    assert dict(follower.reading.log.ends) == {0: 4}
    follower._begin(consumer, {0: 4, 1: 5})
    assert dict(follower.reading.log.ends) == {0: 4, 1: 5}


def test_a_log_without_an_end_where_the_snapshot_ends_is_shorter() -> None:
    consumer: Any = Broker()
    settings = Settings()
    follower = InteractionFollower(settings, topics_of(settings).interactions)
    follower._begin(consumer, {0: 12})
    assert follower.reading.gaps.keys() == {0}
