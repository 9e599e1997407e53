"""Applications that ask: a modest, steady stream of requests, and what came back.

Knows how to ask and to listen in one thread of its own, at a bounded rate. Must not know what the
answers are compared with.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice
from types import TracebackType
from typing import Final, NamedTuple

from confluent_kafka import Consumer, Producer

from ops.clients import kafka_client as client
from registry.connection.client_config import client_config
from registry.errors import TransportError
from registry.ids import UserId
from registry.kafka.reader import reading
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.requests import Request
from registry.wire.responses import Response

TICK_SECONDS: Final = 0.02
"""Between two handfuls of requests. Rarer and larger ones would be scored in fewer batches, and the
latency guardrail, which counts batches, would wait for longer."""

ANSWER_SECONDS: Final = 10.0
"""How long after the last request answers are waited for."""

ITEMS: Final = 5


class Answered(NamedTuple):
    """One answer: when its record was written, in seconds since the epoch, and what it was."""

    at: float
    response: Response


class Traffic:
    """Asks for each of `users` in turn, `per_second` in all, as long as the context lasts.

    Leaving the context waits for the last answers. `heard` is given the first answer to each
    request, in this object's own thread.
    """

    def __init__(
        self,
        settings: Settings,
        users: Sequence[UserId],
        per_second: int,
        heard: Callable[[Answered], None],
    ) -> None:
        self._settings = settings
        self._topics = topics_of(settings)
        self._users = cycle(users)
        self._per_second = per_second
        self._heard = heard
        self._prefix = f"traffic-{uuid.uuid4().hex[:8]}-"
        self._waiting: set[str] = set()
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.asked = 0

    def __enter__(self) -> Traffic:
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
        if error is None:
            self.require_running()

    @property
    def unanswered(self) -> int:
        """Requests without an answer so far."""
        return len(self._waiting)

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
                config = client_config(self._settings) | client.AS_JAVA | {"linger.ms": 2}
                self._ask_and_listen(Producer(config), consumer)
        except Exception as error:  # the thread's outermost edge: who looks at it is told
            self._failure = error

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
                self._heard(Answered(written_ms / 1000, response))


def span_seconds(answers: Iterable[Answered]) -> float | None:
    """Return the seconds from the first answer to the last; None without one.

    Their records' times count, so it does not matter in which order they were heard.
    """
    times = [one.at for one in answers]
    return max(times) - min(times) if times else None
