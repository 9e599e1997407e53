"""Steady traffic that outlives an outage: what is not confirmed yet stays in the client's queue."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaError, Message, Producer
from harness.client import Client
from harness.waiting import wait_until

from registry.connection.client_config import client_config
from registry.wire.codec import encode
from registry.wire.requests import Request

SENDS_PER_SECOND = 25
MOST_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the requests; ``longest_wait_seconds`` is from confirmation to answer."""

    confirmed: int
    lost: int
    answered_twice: int
    longest_wait_seconds: float
    longest_gap_seconds: float

    def __str__(self) -> str:
        return (
            f"{self.confirmed} requests, {self.lost} lost, {self.answered_twice} answered twice; "
            f"longest wait {self.longest_wait_seconds:.1f} s, "
            f"longest gap between answers {self.longest_gap_seconds:.1f} s"
        )


class SteadyTraffic:
    """Asks until the block ends, and goes on asking through outages; use as a context manager."""

    def __init__(self, client: Client, users: int = 50, per_second: int = 50) -> None:
        self.users = users
        self._client = client
        self._per_second = per_second
        self._confirmed_at: dict[str, float] = {}
        self._tag = uuid.uuid4().hex[:8]
        self._done = threading.Event()
        self._producer = Producer(
            client_config(client.settings)
            | {"acks": "all", "message.timeout.ms": 600_000, "log_level": 0}
        )
        self._thread = threading.Thread(target=self._ask, name="steady-traffic", daemon=True)

    def __enter__(self) -> SteadyTraffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def last_answer_at(self) -> float:
        """When the latest answer was written, in seconds since the epoch; 0 before the first."""
        return max((max(at) for at in dict(self._client.answered_at).values()), default=0.0)

    @property
    def last_confirmed_at(self) -> float:
        """When Kafka took the latest request, in seconds since the epoch; 0 before the first."""
        return max(list(self._confirmed_at.values()), default=0.0)

    def confirmed_at(self, request_id: str) -> float:
        """When Kafka took the request; 0 if it has not."""
        return self._confirmed_at.get(request_id, 0.0)

    def wait_for_answers(self, seconds: float) -> float:
        """Return the seconds until a request that was sent from now on is answered."""
        started = time.time()
        wait_until(lambda: self.last_answer_at > started, seconds, "an answer")
        return self.last_answer_at - started

    def outcome(self, seconds: float = 60) -> Outcome:
        """Stop, and return what became of all requests once each is answered or `seconds` over."""
        self._done.set()
        self._thread.join()
        left = self._producer.flush(seconds)
        assert left == 0, f"{left} requests were not confirmed"
        answered = self._client.answered_at
        with contextlib.suppress(AssertionError):  # what is missing then is lost
            wait_until(
                lambda: all(request_id in answered for request_id in self._confirmed_at),
                seconds,
                "all",
            )
        at = {
            request_id: min(answered[request_id])
            for request_id in self._confirmed_at
            if request_id in answered
        }
        times = sorted(at.values())
        return Outcome(
            confirmed=len(self._confirmed_at),
            lost=len(self._confirmed_at) - len(at),
            answered_twice=sum(len(answered[request_id]) > 1 for request_id in at),
            longest_wait_seconds=max(
                at[request_id] - self._confirmed_at[request_id] for request_id in at
            ),
            longest_gap_seconds=max(
                (late - early for early, late in itertools.pairwise(times)), default=0.0
            ),
        )

    def _ask(self) -> None:
        started, number = time.monotonic(), 0
        topic = self._client.topics.requests.name
        while not self._done.is_set() and time.monotonic() - started < MOST_SECONDS:
            while number < (time.monotonic() - started) * self._per_second:
                request_id, user = f"{self._tag}-{number}", number % self.users + 1
                self._producer.produce(
                    topic,
                    encode(Request(request_id, user, k=5)),
                    str(user).encode(),
                    on_delivery=self._confirmed(request_id),
                )
                number += 1
            self._producer.poll(0)
            self._done.wait(1 / SENDS_PER_SECOND)

    def _confirmed(self, request_id: str) -> Callable[[KafkaError | None, Message], None]:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                self._confirmed_at[request_id] = time.time()

        return delivered
