"""Reads the outcome topic: what users did with answers, since a time or as far back as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from confluent_kafka import KafkaException, TopicPartition

from ops.clients.kafka_client import readable
from registry.connection.reachability import unreachable
from registry.kafka.topic_reader import bounds, connected, messages
from registry.kafka.topics import topics_of
from registry.partition_offsets import offsets_at
from registry.settings import Settings
from registry.wire.outcome_records import OutcomeRecord

READ_SECONDS: Final = 600.0
"""Deadline; enough for some millions of records."""

BROKER_SECONDS: Final = 10.0


def outcome_records(settings: Settings, since: float) -> Iterator[OutcomeRecord]:
    """Yield the records written since a time, in seconds since 1970; those of others are skipped.

    Raises
    ------
    TransportError
        If Kafka does not answer in time.
    """
    topic = topics_of(settings).outcomes
    with connected(settings, {"auto.offset.reset": "earliest"}) as consumer:
        numbers = [place.partition for place, _, _ in bounds(settings, consumer, topic)]
        times = dict.fromkeys(numbers, round(since * 1000))
        try:
            starts = offsets_at(consumer, topic.name, times, BROKER_SECONDS)
        except KafkaException as error:
            raise unreachable(settings, error) from error
        consumer.assign([TopicPartition(topic.name, *place) for place in starts.items()])
        for message in messages(consumer, READ_SECONDS, to_end=True):
            record = readable(OutcomeRecord, message)
            if record is not None:
                yield record
