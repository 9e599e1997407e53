"""A modest, steady stream of requests, as applications send them, and the answers to it."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice
from typing import Final, NamedTuple

from confluent_kafka import Consumer, Producer

from ops.clients import kafka_client as client
from ops.clients.background_traffic import BackgroundTraffic
from registry.ids import UserId
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.requests import Request
from registry.wire.responses import Response

TICK_SECONDS: Final = 0.02
"""Time between two bursts of requests. Rarer, larger bursts would be scored in fewer batches, and
the latency guardrail, which counts batches, would take longer to reach a verdict."""

ANSWER_SECONDS: Final = 10.0
"""How long to wait for answers after the last request."""

ITEMS: Final = 5

ORDER_SEED: Final = 15
"""Users come in an order of their own, not in that of their ids: under `modulo` all of the first
fifty neighbours may be in one arm, which `sample_ratio` rightly takes for a wrong split."""


class TimedAnswer(NamedTuple):
    """One answer, and when its record was written, in seconds since 1970."""

    at: float
    response: Response


class GeneratedTraffic(BackgroundTraffic):
    """Sends requests for `users` in turn, shuffled, `per_second` in total, while the context lasts.

    Leaving the context waits for the last answers. `on_answer` is called with the first answer to
    each request, in this object's own thread.
    """

    def __init__(
        self,
        settings: Settings,
        users: Sequence[UserId],
        per_second: int,
        on_answer: Callable[[TimedAnswer], None],
    ) -> None:
        super().__init__(settings, "traffic", {"linger.ms": 2})
        self._users = cycle(random.Random(ORDER_SEED).sample(users, len(users)))
        self._per_second = per_second
        self._on_answer = on_answer
        self._prefix = f"traffic-{uuid.uuid4().hex[:8]}-"
        self._waiting: set[str] = set()

    @property
    def unanswered(self) -> int:
        """Requests without an answer so far."""
        return len(self._waiting)

    def _ask_and_listen(self, producer: Producer, consumer: Consumer) -> None:
        started = time.monotonic()
        while not self._stopping.is_set():
            elapsed = time.monotonic() - started
            due = int(elapsed * self._per_second) - self.asked
            self._ask(producer, min(due, self._per_second))
            self._listen(consumer, TICK_SECONDS)
        producer.flush(ANSWER_SECONDS)
        deadline = time.monotonic() + ANSWER_SECONDS
        while self._waiting and time.monotonic() < deadline:
            self._listen(consumer, TICK_SECONDS)

    def _ask(self, producer: Producer, count: int) -> None:
        for user in islice(self._users, count):
            request = Request(f"{self._prefix}{self.asked}", user, k=ITEMS)
            self._waiting.add(request.request_id)
            producer.produce(self._topics.requests.name, encode(request), str(user).encode())
            self.asked += 1
        producer.poll(0)

    def _listen(self, consumer: Consumer, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            message = consumer.poll(left)
            if message is None or message.error() is not None:
                continue
            response = client.readable(Response, message)
            if response is not None and response.request_id in self._waiting:
                self._waiting.remove(response.request_id)
                _, written_ms = message.timestamp()
                self._on_answer(TimedAnswer(written_ms / 1000, response))


def span_seconds(answers: Iterable[TimedAnswer]) -> float | None:
    """Return the seconds from the first answer to the last; None without answers.

    The order of `answers` does not matter: the times of their records count.
    """
    times = [answer.at for answer in answers]
    return max(times) - min(times) if times else None
