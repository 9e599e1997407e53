"""Where partitions end, or have come to at a time, as brokers say it: one question to each broker.

Knows a librdkafka consumer. Must not know settings, nor what a caller does about an outage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

Answer = TypeVar("Answer")


def bounds_now(consumer: Consumer, topic: str, number: int, seconds: float) -> tuple[int, int]:
    """Return the first offset of a partition, and the one after its last record.

    Raises
    ------
    KafkaException
        If its broker does not answer within `seconds`, or refuses.
    """
    place = TopicPartition(topic, number)
    ask = partial(consumer.get_watermark_offsets, place, timeout=seconds)
    return _knowing_new_partitions(consumer, topic, seconds, ask)


def ends_now(
    consumer: Consumer, topic: str, numbers: Iterable[int], seconds: float
) -> dict[int, int]:
    """Return the offset after the last record that can be read, by partition.

    Raises
    ------
    KafkaException
        If a broker does not answer within `seconds`, or refuses.
    """
    # the end is the offset "at the time" OFFSET_END; watermarks are asked one after the other
    return _asked(consumer, topic, dict.fromkeys(numbers, OFFSET_END), seconds)


def offsets_at(
    consumer: Consumer, topic: str, times: Mapping[int, int], seconds: float
) -> dict[int, int]:
    """Return the first offset at or after a time in milliseconds, by partition; else its end.

    Raises
    ------
    KafkaException
        If a broker does not answer within `seconds`, or refuses.
    """
    ends = ends_now(consumer, topic, times, seconds)  # first: what comes meanwhile is not skipped
    found = _asked(consumer, topic, times, seconds)
    return {number: at if at >= 0 else ends[number] for number, at in found.items()}


def _asked(
    consumer: Consumer, topic: str, times: Mapping[int, int], seconds: float
) -> dict[int, int]:
    if not times:
        return {}
    places = [TopicPartition(topic, number, at) for number, at in times.items()]

    def ask() -> dict[int, int]:
        found = consumer.offsets_for_times(places, timeout=seconds)
        for place in found:
            if place.error is not None:
                raise KafkaException(place.error)
        return {place.partition: place.offset for place in found}

    return _knowing_new_partitions(consumer, topic, seconds, ask)


def _knowing_new_partitions(
    consumer: Consumer, topic: str, seconds: float, ask: Callable[[], Answer]
) -> Answer:
    """Return what `ask` returns; a client that does not know a partition looks for new ones first.

    By itself it would do so after minutes.
    """
    try:
        return ask()
    except KafkaException as error:
        if error.args[0].code() != KafkaError._UNKNOWN_PARTITION:
            raise
    consumer.list_topics(topic, timeout=seconds)
    return ask()
