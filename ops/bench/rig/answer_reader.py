"""Reading a benchmark's answers: how many there are, and when each was sent.

Knows the response topic. Must not know who answered, or why it is asked.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from confluent_kafka import Consumer
from msgspec import Struct

from ops.bench.rig.figures import Times
from registry.errors import TransportError
from registry.kafka.topic_reader import ALL, messages, reading
from registry.kafka.topics import topics_of
from registry.settings import Settings

READ_SECONDS: Final = 60.0
"""How long reading all answers back may take."""


class GivenBy(Struct, frozen=True):
    """The part of the provenance that a benchmark uses."""

    worker: str
    latency_ms: float = math.nan


class Given(Struct, frozen=True):
    """The part of an answer that a benchmark uses."""

    request_id: str
    status: str
    provenance: GivenBy
    model_version: str = ""


@dataclass(frozen=True, slots=True)
class FirstAnswers:
    """The first answer to each request: the milliseconds since the epoch at which it was produced,
    float64 (n,), answers by worker, and how many requests were answered again.
    """

    times_ms: Times
    by_worker: dict[str, int]
    duplicates: int


decode_given: Final = msgspec.json.Decoder(Given).decode


def answered(consumer: Consumer) -> int:
    """Return how many records the topic that `consumer` is assigned holds; reads none."""
    return sum(
        consumer.get_watermark_offsets(partition, timeout=10)[1]
        for partition in consumer.assignment()
    )


def read_answers(settings: Settings, requests: int) -> FirstAnswers:
    """Read all answers back, and check that they are what was asked for.

    Raises
    ------
    TransportError
        If a request has no answer, or one that is not ``ok``: its speed would mean nothing.
    """
    with reading(settings, topics_of(settings).responses, last=ALL) as consumer:
        records = list(messages(consumer, READ_SECONDS, to_end=True))
    first: dict[str, tuple[float, Given]] = {}
    for message in records:
        given = decode_given(message.value() or b"")
        first.setdefault(given.request_id, (float(message.timestamp()[1]), given))
    statuses = Counter(given.status for _, given in first.values())
    if statuses != {"ok": requests}:
        raise TransportError(f"{requests} requests, but answers {dict(statuses)}")
    times = np.array([at for at, _ in first.values()])
    by_worker = Counter(given.provenance.worker for _, given in first.values())
    return FirstAnswers(times, dict(by_worker), len(records) - requests)
