"""The follower of interactions: what its client brings late does not stop it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from confluent_kafka import OFFSET_INVALID, KafkaError

from registry.fresh.event_log import EventLog
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


def record(offset: int, number: int = 0) -> Any:
    return SimpleNamespace(
        error=lambda: None,
        topic=lambda: "reco.interactions",
        partition=lambda: number,
        offset=lambda: offset,
        timestamp=lambda: (1, 1_000),
        key=lambda: b"1",
        value=lambda: b'{"user_id":1,"item_id":%d,"event":"watch"}' % offset,
    )


class Earlier:
    """Reads so many records of an earlier range at a time."""

    def __init__(self, records: int) -> None:
        self.records, self.rests = records, 0

    def read(self, ranges: Any, most: int, seconds: float) -> Any:
        found = {}
        for number, part in ranges.items():
            end = min(part.filled + self.records, part.until)
            found[number] = ([record(at, number) for at in range(part.filled, end)], end)
        return found, set()

    def rest(self) -> None:
        self.rests += 1


def test_the_newest_records_count_first_and_the_earlier_ones_all_at_once() -> None:
    consumer: Any = Broker()
    settings = Settings()
    follower = InteractionFollower(settings, topics_of(settings).interactions, newest=3)
    earlier: Any = Earlier(4)
    follower._begin(consumer, {0: 2})
    follower._take([record(at) for at in (7, 8, 9)])
    assert (dict(follower.reading.log.starts), dict(follower.reading.log.ends)) == ({0: 7}, {0: 10})
    assert (follower.reading.behind, follower.reading.position) == (5, 5)
    follower._fill(earlier)
    assert (follower.reading.behind, follower.reading.position) == (1, 9)
    assert dict(follower.reading.log.starts) == {0: 7}
    follower._begin(consumer, {0: 2})  # as after a rebalance: it goes on
    follower._fill(earlier)
    log = follower.reading.log
    assert (dict(log.starts), log.count, earlier.rests) == ({0: 2}, 8, 0)
    follower._begin(consumer, {0: 0})  # an older version came
    log = follower.reading.log
    assert (dict(log.starts), dict(log.ends), log.count) == ({0: 2}, {0: 10}, 8)
    follower._fill(earlier)
    log = follower.reading.log
    places = sorted(log.event_at(index).offset for index in log.indices(log.number_of(1) or 0))
    assert (dict(log.starts), places) == ({0: 0}, list(range(10)))
    follower._fill(earlier)
    assert earlier.rests == 1


def test_where_memory_is_short_all_is_read_anew_in_its_order() -> None:
    consumer: Any = Broker()
    settings = Settings(fresh_memory_bytes=1024 * 1024)
    follower = InteractionFollower(settings, topics_of(settings).interactions, newest=3)
    follower._log = EventLog(most_bytes=300)
    follower._begin(consumer, {0: 0})
    follower._take([record(at) for at in (7, 8, 9)])
    earlier: Any = Earlier(2)
    assert follower._fill(earlier) == {0}
    follower._log.drop({0})
    follower._begin(consumer, {0: 0})
    assert (dict(follower.reading.log.ends), follower._log.earlier) == ({0: 0}, {})
