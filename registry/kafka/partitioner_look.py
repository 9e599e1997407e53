"""A look at the latest records of a topic: by which partitioner their producers chose.

An edge: reads keys. What they say is `registry.kafka.partitioners`.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaException

from registry.connection.reachability import unreachable
from registry.kafka.partitioners import PartitionerSeen, PartitionerTally
from registry.kafka.topic_reader import messages, reading
from registry.kafka.topics import Topic
from registry.settings import Settings

LATEST_RECORDS: Final = 100
"""Of each partition."""

LOOK_SECONDS: Final = 10.0


def look_at_partitioner(settings: Settings, topic: Topic) -> PartitionerSeen:
    """Return what the latest records of a topic say.

    Raises
    ------
    TransportError
        If Kafka does not answer, the topic is missing, or it cannot be read in time.
    """
    tally = PartitionerTally(topic.name)
    try:
        with reading(settings, topic, LATEST_RECORDS) as consumer:
            count = len(consumer.assignment())
            for message in messages(consumer, LOOK_SECONDS, to_end=True):
                key, number = message.key(), message.partition()
                if isinstance(key, bytes) and number is not None:
                    tally.note(key, number, count)
    except KafkaException as error:
        raise unreachable(settings, error) from error
    return tally.seen()
