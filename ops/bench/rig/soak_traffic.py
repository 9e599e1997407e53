"""A soak's traffic: every request counted until it is answered, and after that as a duplicate.

Sends requests and reads answers in one thread, while brokers come and go. Must not know what
happens to the fleet meanwhile.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from contextlib import ExitStack
from typing import Final, NamedTuple, Self

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from msgspec import Struct

from ops.clients import kafka_client as client
from ops.clients.background_traffic import BackgroundTraffic
from registry.kafka.topic_reader import QUIET, connected, current_ends
from registry.read_stall import ReadStall
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.requests import Request

TICK_SECONDS: Final = 0.05
USERS: Final = 500
"""They ask in turn; the version knows the first four fifths of them."""

ANSWER_SECONDS: Final = 60.0
"""How long after the last request answers are waited for: what comes later than a session's end and
a rebalance is lost."""

WORST_KEPT: Final = 5


class Heard(Struct, frozen=True):
    """The part of an answer that a soak uses."""

    request_id: str
    status: str


class Wait(NamedTuple):
    """How long a request waited for its first answer, and when it was sent, in seconds."""

    seconds: float
    sent_at: float


class SoakTraffic(BackgroundTraffic):
    """Asks `per_second` times a second as long as the context lasts.

    `statuses` counts first answers by status, `duplicates` all further ones; `worst` are the
    longest waits, times counted from the start; `stalls` is how often its consumer was replaced.
    """

    def __init__(self, settings: Settings, per_second: int) -> None:
        super().__init__(
            settings, "soak-traffic", QUIET | {"linger.ms": 2, "enable.idempotence": True}
        )
        self._per_second = per_second
        self._prefix = f"soak-{uuid.uuid4().hex[:8]}-"
        self._sent_at: dict[int, float] = {}
        self._read_from: dict[int, int] = {}
        self._stall = ReadStall(time.monotonic())
        self.stalls = 0
        self.refused = 0
        self.duplicates = 0
        self.statuses: Counter[str] = Counter()
        self.worst: list[Wait] = []
        self.started = time.monotonic()

    def __enter__(self) -> Self:
        self.started = time.monotonic()
        return super().__enter__()

    @property
    def waiting(self) -> int:
        """Requests that Kafka has confirmed, and nobody has answered so far."""
        return len(self._sent_at)

    def _ask_and_listen(self, producer: Producer, consumer: Consumer) -> None:
        self._read_from = {
            place.partition: place.offset for place in consumer.assignment() if place.offset >= 0
        }
        with ExitStack() as replaced:
            while not self._stopping.is_set():
                due = int((time.monotonic() - self.started) * self._per_second) - self.asked
                for _ in range(min(due, self._per_second)):
                    self._ask(producer)
                producer.poll(0)
                consumer = self._listen(consumer, replaced)
            deadline = time.monotonic() + ANSWER_SECONDS
            while self._sent_at and time.monotonic() < deadline:
                producer.poll(0)
                consumer = self._listen(consumer, replaced)

    def _listen(self, consumer: Consumer, replaced: ExitStack) -> Consumer:
        """Read for a tick; return the consumer to go on with, another one if this has stalled."""
        self._read(consumer, TICK_SECONDS)
        if self._stall.is_due(now := time.monotonic()) and self._has_stalled(consumer, now):
            replaced.close()  # the former replacement; the first consumer is its maker's
            consumer = replaced.enter_context(connected(self._settings))
            consumer.assign(self._places())
            self.stalls += 1
        return consumer

    def _has_stalled(self, consumer: Consumer, now: float) -> bool:
        ends = current_ends(consumer, self._topics.responses.name, self._read_from)
        return self._stall.look(now, self._read_from, ends)

    def _places(self) -> list[TopicPartition]:
        topic = self._topics.responses.name
        return [TopicPartition(topic, *place) for place in sorted(self._read_from.items())]

    def _ask(self, producer: Producer) -> None:
        number, user = self.asked, self.asked % USERS + 1
        request = Request(f"{self._prefix}{number}", user, k=10)
        self._sent_at[number] = time.monotonic()

        def reported(error: KafkaError | None, _message: Message) -> None:
            if error is not None and self._sent_at.pop(number, None) is not None:
                self.refused += 1

        topic = self._topics.requests.name
        producer.produce(topic, encode(request), str(user).encode(), on_delivery=reported)
        self.asked += 1

    def _read(self, consumer: Consumer, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for message in consumer.consume(500, min(left, 0.02)):
                if message.error():
                    continue
                number, offset = message.partition(), message.offset()
                assert number is not None
                assert offset is not None
                self._read_from[number] = offset + 1
                heard = client.readable(Heard, message)
                if heard is not None and heard.request_id.startswith(self._prefix):
                    self._note(heard)

    def _note(self, heard: Heard) -> None:
        number = int(heard.request_id.removeprefix(self._prefix))
        sent_at = self._sent_at.pop(number, None)
        if sent_at is None:
            self.duplicates += 1
            return
        self.statuses[heard.status] += 1
        wait = Wait(time.monotonic() - sent_at, sent_at - self.started)
        self.worst = sorted([*self.worst, wait], reverse=True)[:WORST_KEPT]
