"""Where partitions end, or have come to at a time, as brokers say it: one question to each broker.

Knows a librdkafka consumer. Must not know settings, nor what a caller does about an outage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition


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
    found = consumer.offsets_for_times(places, timeout=seconds)
    for place in found:
        if place.error is not None:
            raise KafkaException(place.error)
    return {place.partition: place.offset for place in found}
