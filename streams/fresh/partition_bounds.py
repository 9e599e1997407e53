"""Bounds of partitions: where they begin and end, as a client that reads them hears it.

An edge. Must not know what is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from registry.kafka.topic_reader import BROKER_SECONDS
from registry.partition_offsets import bounds_now

LONGEST_FETCH_SECONDS: Final = 15.0
"""A fetch at the end of a log takes a tenth of a second; on a starved machine, some seconds."""


def bounds_of(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """Return the first offset that Kafka has of a partition, and where it ends. May assign it.

    An end before the offset of `place` counts only if a fetch there finds no end either. Until the
    next record comes, the embedded broker names an end inside the last batch; it answers at the end
    of a log, and never behind it. Kafka refuses at once.
    """
    low, high = bounds_now(consumer, place.topic, place.partition, BROKER_SECONDS)
    if place.offset <= high:
        return low, high
    consumer.assign([place])
    fetched = consumer.consume(1, LONGEST_FETCH_SECONDS)
    is_there = any(_code(message) in (None, KafkaError._PARTITION_EOF) for message in fetched)
    return low, place.offset if is_there else high


def ends_heard(consumer: Consumer, topic: str, numbers: Iterable[int]) -> dict[int, int]:
    """Return where partitions end, as the last fetches told it; without those of no fetch yet."""
    heard = {
        number: consumer.get_watermark_offsets(TopicPartition(topic, number), cached=True)[1]
        for number in numbers
    }
    return {number: end for number, end in heard.items() if end >= 0}


def _code(message: Message) -> int | None:
    error = message.error()
    return None if error is None else error.code()
