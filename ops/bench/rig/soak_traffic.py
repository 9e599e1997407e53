"""A soak's traffic: every request counted until it is answered, and after that as a duplicate.

Knows how to ask and to listen, in one thread, while brokers come and go. Must not know what is done
to the fleet meanwhile.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from types import TracebackType
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, Message, Producer
from msgspec import Struct

from ops.clients import kafka_client as client
from registry.connection.client_config import client_config
from registry.errors import TransportError
from registry.kafka.reader import QUIET, reading
from registry.kafka.topics import topics_of
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
    """The part of an answer that a soak looks at."""

    request_id: str
    status: str


class Wait(NamedTuple):
    """How long a request waited for its first answer, and when it was sent, in seconds."""

    seconds: float
    sent_at: float


class SoakTraffic:
    """Asks `per_second` times a second as long as the context lasts.

    `statuses` counts first answers by status, `duplicates` all further ones; `worst` are the
    longest waits, times counted from the start.
    """

    def __init__(self, settings: Settings, per_second: int) -> None:
        self._settings = settings
        self._topics = topics_of(settings)
        self._per_second = per_second
        self._prefix = f"soak-{uuid.uuid4().hex[:8]}-"
        self._sent_at: dict[int, float] = {}
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="soak-traffic", daemon=True)
        self.asked = 0
        self.refused = 0
        self.duplicates = 0
        self.statuses: Counter[str] = Counter()
        self.worst: list[Wait] = []
        self.started = time.monotonic()

    def __enter__(self) -> SoakTraffic:
        self.started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    @property
    def waiting(self) -> int:
        """Requests that Kafka has confirmed, and nobody has answered so far."""
        return len(self._sent_at)

    def require_running(self) -> None:
        """Check that nothing has ended it early.

        Raises
        ------
        TransportError
            With what has.
        """
        if self._failure is not None:
            raise TransportError(f"the traffic has ended: {self._failure}") from self._failure

    def _run(self) -> None:
        try:
            with reading(self._settings, self._topics.responses) as consumer:
                config = client_config(self._settings) | client.AS_JAVA | QUIET
                self._ask_and_listen(
                    Producer(config | {"linger.ms": 2, "enable.idempotence": True}), consumer
                )
        except Exception as error:  # the thread's outermost edge: who looks at it is told
            self._failure = error

    def _ask_and_listen(self, producer: Producer, consumer: Consumer) -> None:
        while not self._stopping.is_set():
            due = int((time.monotonic() - self.started) * self._per_second) - self.asked
            for _ in range(min(due, self._per_second)):
                self._ask(producer)
            producer.poll(0)
            self._listen(consumer, TICK_SECONDS)
        deadline = time.monotonic() + ANSWER_SECONDS
        while self._sent_at and time.monotonic() < deadline:
            producer.poll(0)
            self._listen(consumer, TICK_SECONDS)

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

    def _listen(self, consumer: Consumer, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            for message in consumer.consume(500, min(left, 0.02)):
                heard = None if message.error() else client.readable(Heard, message)
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
