"""Recorded traffic: requests, the answers that were given, and what users then did, from Kafka.

An edge: it reads three topics. Must not know what is made of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar

from confluent_kafka import KafkaException, Message, TopicPartition

from registry.connection.reachability import unreachable
from registry.errors import ConfigurationError, RecordError, TransportError
from registry.kafka.topic_reader import bounds, connected, messages, slice_of
from registry.kafka.topics import Topic, topics_of
from registry.partition_offsets import offsets_at
from registry.settings import Settings
from registry.versions.manifest import Manifest
from registry.wire.codec import decode
from registry.wire.requests import Request
from registry.wire.responses import Response

READ_SECONDS: Final = 600.0
"""Deadline for one topic; enough for some millions of records."""

ANSWER_SECONDS: Final = 600.0
"""How long after the last request an answer is looked for."""

BROKER_SECONDS: Final = 10.0

MARKERS: Final = 100
"""Offsets before the end of a snapshot among which a record is looked for: the last ones may be
markers of transactions, which no reader gets."""


Record = TypeVar("Record", Request, Response)


class Recorded(NamedTuple):
    """A request and its answer; times in seconds since 1970, `partition` of the request topic."""

    request: Request
    partition: int
    asked_at: float
    answer: Response
    answered_at: float


class RecordedEvent(NamedTuple):
    """An interaction record."""

    partition: int
    offset: int
    at: float
    payload: bytes | None


def recorded_requests(settings: Settings, since: float, until: float) -> list[Recorded]:
    """Return the requests of a time that have an answer with status ``ok``, in their order.

    Requests that pin a version are left out.
    """
    topics = topics_of(settings)
    answers: dict[str, tuple[Response, float]] = {}
    for message in _records(settings, topics.responses, since, until + ANSWER_SECONDS):
        answer = _read(Response, message)
        if answer is not None and answer.status == "ok":
            answers.setdefault(answer.request_id, (answer, _seconds(message)))
    found = []
    for message in _records(settings, topics.requests, since, until):
        request = _read(Request, message)
        known = answers.pop(request.request_id, None) if request is not None else None
        if request is not None and known is not None and request.model_version is None:
            number = message.partition()
            assert number is not None  # only a message that was never sent has none
            found.append(Recorded(request, number, _seconds(message), *known))
    return sorted(found, key=lambda single: single.asked_at)


def interactions_from(settings: Settings, starts: Mapping[int, int]) -> list[RecordedEvent]:
    """Return all interactions from these offsets on, by partition in their order."""
    topic = topics_of(settings).interactions.name
    with connected(settings, {"auto.offset.reset": "error"}) as consumer:
        consumer.assign([TopicPartition(topic, number, at) for number, at in starts.items()])
        read = [_event(message) for message in messages(consumer, READ_SECONDS, to_end=True)]
    return sorted(read)


def snapshot_ends(settings: Settings, manifest: Manifest) -> dict[int, int]:
    """Return from where on interactions are later than what a version has learned from.

    Partitions that came later are read from their beginning.

    Raises
    ------
    ConfigurationError
        If the version comes from another topic: its offsets say nothing of this one.
    """
    topic, snapshot = topics_of(settings).interactions, manifest.data_snapshot
    if snapshot.topic != topic.name:
        raise ConfigurationError(
            f"version {manifest.version} has learned from topic {snapshot.topic}, not from "
            f"{topic.name}: which of its requests came later is not known"
        )
    with connected(settings) as consumer:
        starts = {place.partition: low for place, low, _ in bounds(settings, consumer, topic)}
    return starts | {int(number): end for number, (_, end) in snapshot.partitions.items()}


def learned_until(settings: Settings, ends: Mapping[int, int]) -> float:
    """Return the time of the last interaction before these offsets; 0 if there is none.

    Raises
    ------
    TransportError
        If it is gone from Kafka: then nobody can say which requests came later.
    """
    topic, latest = topics_of(settings).interactions.name, 0.0
    deadline = time.monotonic() + READ_SECONDS
    with connected(settings, {"auto.offset.reset": "error"}) as consumer:
        for number, end in ends.items():
            if end == 0:
                continue
            place = TopicPartition(topic, number)
            low, _ = consumer.get_watermark_offsets(place, timeout=BROKER_SECONDS)
            start = max(low, end - MARKERS)
            records = slice_of(consumer, place, start, end, deadline) if start < end else []
            if not records:
                raise TransportError(
                    f"{topic}: offset {end - 1} of partition {number}, the last that the version "
                    "has learned from, is gone: requests that it must not be judged by are unknown"
                )
            latest = max(latest, _seconds(records[-1]))
    return latest


def _records(settings: Settings, topic: Topic, since: float, until: float) -> list[Message]:
    """Return the records of a time."""
    with connected(settings, {"auto.offset.reset": "earliest"}) as consumer:
        numbers = [place.partition for place, _, _ in bounds(settings, consumer, topic)]
        try:
            starts = offsets_at(
                consumer, topic.name, dict.fromkeys(numbers, round(since * 1000)), BROKER_SECONDS
            )
        except KafkaException as error:
            raise unreachable(settings, error) from error
        consumer.assign([TopicPartition(topic.name, *place) for place in starts.items()])
        read = messages(consumer, READ_SECONDS, to_end=True)
        return [message for message in read if since <= _seconds(message) <= until]


def _read(kind: type[Record], message: Message) -> Record | None:
    try:
        return decode(kind, message.value())
    except RecordError:  # a dead letter, or not ours
        return None


def _seconds(message: Message) -> float:
    return message.timestamp()[1] / 1000


def _event(message: Message) -> RecordedEvent:
    number, offset = message.partition(), message.offset()
    assert number is not None  # only a message that was never sent has none
    assert offset is not None
    return RecordedEvent(number, offset, _seconds(message), message.value())
