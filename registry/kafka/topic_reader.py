"""Reading a topic outside of Faust: without a group, from a known position, with a deadline.

Knows how to find the ends of a topic and to read up to them. Must not know what the records hold.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from registry.connection.client_config import client_config
from registry.connection.reachability import metadata_of, refused, unreachable
from registry.connection.temporary_errors import ask_again
from registry.errors import TransportError
from registry.kafka.permissions import reader_group
from registry.kafka.topics import Topic
from registry.partition_offsets import ends_now
from registry.settings import Settings
from registry.wire.codec import decode
from registry.wire.commands import Command

BROKER_SECONDS: Final = 5.0
"""How long one question to the broker may take."""

READERS: Final = "PREFIX-reader-… (PREFIX is RECSTREAM_TOPIC_PREFIX)"

ALL: Final = 2**62
"""More records than a topic has."""

QUIET: Final = {"log_level": 2}
"""librdkafka would log each refused connection; the errors below say it once, and better."""


@contextmanager
def connected(
    settings: Settings, more: Mapping[str, str | int] | None = None
) -> Iterator[Consumer]:
    """Yield a consumer that reads nothing yet and commits nothing ever.

    Parameters
    ----------
    settings
        Where Kafka is.
    more
        Further settings of the client, or other values.
    """
    consumer = Consumer(
        client_config(settings)
        | QUIET
        | {
            "group.id": reader_group(settings, str(uuid.uuid4())),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
        }
        | dict(more or {})
    )
    try:
        yield consumer
    finally:
        consumer.close()


@contextmanager
def reading(settings: Settings, topic: Topic, last: int = 0) -> Iterator[Consumer]:
    """Yield a consumer of all partitions, from `last` records before the current end offsets."""
    with connected(settings) as consumer:
        consumer.assign(
            [
                TopicPartition(partition.topic, partition.partition, max(low, high - last))
                for partition, low, high in bounds(settings, consumer, topic)
            ]
        )
        yield consumer


def bounds(
    settings: Settings, consumer: Consumer, topic: Topic
) -> list[tuple[TopicPartition, int, int]]:
    """Return each partition with its first offset and the offset after its last record.

    Raises
    ------
    TransportError
        If Kafka does not answer, or the topic is missing.
    """
    try:
        metadata = metadata_of(consumer, settings, topic.name, seconds=BROKER_SECONDS)
        found = metadata.topics[topic.name]
        partitions = [TopicPartition(topic.name, number) for number in sorted(found.partitions)]
        offsets = [
            ask_again(partial(consumer.get_watermark_offsets, partition, timeout=BROKER_SECONDS))
            for partition in partitions
        ]
    except KafkaException as error:
        raise unreachable(settings, error) from error
    if not partitions:
        raise TransportError(f"topic {topic.name} was not found; run `recstream topics create`")
    return [
        (partition, low, high) for partition, (low, high) in zip(partitions, offsets, strict=True)
    ]


def only_partition(
    settings: Settings, consumer: Consumer, topic: Topic
) -> tuple[TopicPartition, int, int]:
    """Return what `bounds` returns of a topic that must have one partition.

    Raises
    ------
    TransportError
        If Kafka does not answer, the topic is missing, or has more: their records have no order.
    """
    first, *others = bounds(settings, consumer, topic)
    if others:
        raise TransportError(
            f"topic {topic.name} has {len(others) + 1} partitions and must have 1; partitions "
            "cannot be removed, so it must be recreated"
        )
    return first


def current_ends(consumer: Consumer, topic: str, numbers: Iterable[int]) -> dict[int, int]:
    """Return where partitions end, as the broker says it now; empty if it does not answer."""
    try:
        return ends_now(consumer, topic, numbers, BROKER_SECONDS)
    except KafkaException:  # an outage: whoever reads waits for its end
        return {}


def messages(
    consumer: Consumer, deadline_seconds: float, *, to_end: bool = False
) -> Iterator[Message]:
    """Yield records until the deadline, or up to the end of each partition.

    Raises
    ------
    TransportError
        If a partition cannot be read, or its end is not reached in time.
    """
    unread = (
        {(partition.topic, partition.partition) for partition in consumer.assignment()}
        if to_end
        else {("", -1)}
    )
    deadline = time.monotonic() + deadline_seconds
    while unread and (left := deadline - time.monotonic()) > 0:
        message = consumer.poll(min(left, 0.1))
        if message is None:
            continue
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            unread.discard((message.topic(), message.partition()))
        elif not error.retriable():
            raise _unreadable(message, error)
    if to_end and unread:
        raise TransportError(f"timed out after {deadline_seconds:g} s before the end of the topic")


def slice_of(
    consumer: Consumer, partition: TopicPartition, start: int, end: int, deadline: float
) -> list[Message]:
    """Return the records at offsets ``[start, end)``; there may be fewer than offsets.

    Parameters
    ----------
    consumer
        Is assigned to `partition` at `start`.
    partition
        Which one.
    start, end
        Within :func:`bounds`.
    deadline
        On the clock of `time.monotonic`.

    Raises
    ------
    TransportError
        If the partition cannot be read, or not by the deadline.
    """
    consumer.assign([TopicPartition(partition.topic, partition.partition, start)])
    found: list[Message] = []
    for message in messages(consumer, deadline - time.monotonic(), to_end=True):
        offset = message.offset()
        assert offset is not None  # only a message that was never sent has none
        if offset < end:
            found.append(message)
        if offset >= end - 1:
            break
    return found


def _unreadable(message: Message, error: KafkaError) -> TransportError:
    topic = message.topic()
    if error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
        return refused(error, "not readable", "DESCRIBE", "group", READERS)
    return refused(error, f"{topic}: not readable", "READ", "topic", str(topic))


READ_SECONDS: Final = 10.0
"""How long one record may take to come; a broker's restart is left to the next look."""


def ends_of(settings: Settings, topic: Topic) -> dict[int, int]:
    """Return the offset after the last record, by partition.

    Raises
    ------
    TransportError
        If Kafka does not answer, or the topic is missing.
    """
    with connected(settings) as consumer:
        return {partition.partition: end for partition, _, end in bounds(settings, consumer, topic)}


def command_at(settings: Settings, topic: Topic, offset: int) -> Command | None:
    """Return the command at `offset` of the control topic; None if it is gone.

    Raises
    ------
    TransportError
        If Kafka does not answer in time.
    RecordError
        If the record there is not a command.
    """
    place = TopicPartition(topic.name, 0)
    try:
        with connected(settings) as consumer:
            deadline = time.monotonic() + READ_SECONDS
            found = slice_of(consumer, place, offset, offset + 1, deadline)
    except KafkaException as error:
        raise unreachable(settings, error) from error
    return next(
        (decode(Command, message.value()) for message in found if message.offset() == offset), None
    )
