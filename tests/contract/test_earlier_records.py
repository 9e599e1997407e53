"""Reading earlier records, from librdkafka's mock broker."""

from __future__ import annotations

import time
from dataclasses import dataclass

from confluent_kafka import Producer

from registry.fresh.earlier_ranges import EarlierRange
from registry.settings import Settings
from streams.fresh.earlier_records import EarlierRecords
from streams.fresh.interaction_follower import FOLLOWING

TOPIC = "interactions"
DEADLINE_SECONDS = 60


@dataclass
class Filling:
    """Fills ranges of partition 0, as the event log does."""

    earlier: EarlierRecords

    def offsets_of(self, part: EarlierRange, most: int, end: int) -> list[int | None]:
        """Return what comes of a range until it is filled up to `end`, `most` at once."""
        offsets: list[int | None] = []
        deadline = time.monotonic() + DEADLINE_SECONDS
        while part.filled < end:
            assert time.monotonic() < deadline, part
            found, lost = self.earlier.read({0: part}, most, 0.1)
            assert not lost
            for records, filled in found.values():
                offsets += [message.offset() for message in records]
                part = part._replace(filled=filled)
        return offsets


def test_a_range_that_begins_again_is_read_from_its_start_again() -> None:
    broker = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (node,) = broker.list_topics(TOPIC, timeout=30).brokers.values()
    for number in range(40):
        broker.produce(TOPIC, str(number).encode(), partition=0)
    assert broker.flush(30) == 0
    settings = Settings(kafka_bootstrap_servers=f"{node.host}:{node.port}")
    with EarlierRecords(settings, FOLLOWING, TOPIC) as earlier:
        filling, whole = Filling(earlier), EarlierRange(start=0, until=30, filled=0)
        read = filling.offsets_of(whole, most=5, end=10)
        assert read == list(range(len(read)))
        assert filling.offsets_of(whole, most=5, end=30) == list(range(30))
        assert filling.offsets_of(whole._replace(filled=12), most=50, end=30) == [*range(12, 30)]
