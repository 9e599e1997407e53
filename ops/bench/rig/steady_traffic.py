"""Steady traffic: an open-loop sender, and when each of its requests was answered.

A request's time is when it was *due*, not when it was actually sent, so a stall counts for every
request that it delayed. Must not know what happens in the fleet meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from ops.bench.rig.answer_reader import decode_given
from ops.bench.rig.figures import Times
from ops.bench.rig.synthetic import requests
from registry.connection.client_config import client_config
from registry.errors import TransportError
from registry.ids import UserId
from registry.kafka.topic_reader import reading
from registry.kafka.topics import topics_of
from registry.settings import Settings

LEAD_SECONDS: Final = 0.5
"""Before the first request is due: the clients connect meanwhile."""

DRAIN_SECONDS: Final = 30.0
"""How long to wait for answers once the last request was sent."""


@dataclass(frozen=True, slots=True)
class TrafficOutcome:
    """What became of the requests; all float64 (n,), in milliseconds.

    Parameters
    ----------
    confirmed_ms
        From when a request was due until a consumer saw its answer, which it cannot before the
        answer is confirmed: an upper bound.
    stamped_ms
        From the request record's timestamp to the answer record's, both of whole milliseconds.
    scored_ms
        From the request record's timestamp to its scoring, as the answer itself says.
    late_ms
        From when a request was due until it was sent: what the sender itself adds.
    waiting_at_end
        Requests without an answer when the last one was sent.
    """

    confirmed_ms: Times
    stamped_ms: Times
    scored_ms: Times
    late_ms: Times
    waiting_at_end: int


def drive(settings: Settings, per_second: int, seconds: float) -> TrafficOutcome:
    """Send requests at a steady rate and wait for all answers.

    Raises
    ------
    TransportError
        If a request is not answered in time, or with anything but ``ok``.
    """
    records = list(requests(round(per_second * seconds)))
    with reading(settings, topics_of(settings).responses) as consumer:
        sender = _DueSender(settings, records, per_second)
        listener = _Listener(len(records))
        sender.start()
        waiting_at_end = listener.listen(consumer, sender)
    return TrafficOutcome(
        confirmed_ms=listener.seen_ms - sender.due_ms,
        stamped_ms=listener.stamped_ms - sender.stamped_ms,
        scored_ms=listener.scored_ms,
        late_ms=sender.sent_ms - sender.due_ms,
        waiting_at_end=waiting_at_end,
    )


class _DueSender(threading.Thread):
    """Sends each record when it is due."""

    def __init__(
        self, settings: Settings, records: Sequence[tuple[UserId, bytes]], per_second: int
    ) -> None:
        super().__init__(name="sender", daemon=True)
        self._topic = topics_of(settings).requests.name
        self._records = records
        self._producer = Producer(
            client_config(settings) | {"linger.ms": 0, "partitioner": "murmur2_random"}
        )
        start_ms = (time.time() + LEAD_SECONDS) * 1000
        self.due_ms: Times = start_ms + np.arange(len(records)) * 1000 / per_second
        self.sent_ms: Times = np.zeros(len(records))
        self.ended = threading.Event()

    @property
    def stamped_ms(self) -> Times:
        """The records' timestamps: whole milliseconds."""
        return np.floor(self.sent_ms)

    def run(self) -> None:
        """Send them all."""
        for number, (user, value) in enumerate(self._records):
            early = self.due_ms[number] / 1000 - time.time()
            if early > 0:
                time.sleep(early)
            self.sent_ms[number] = now_ms = time.time() * 1000
            self._producer.produce(self._topic, value, str(user).encode(), timestamp=int(now_ms))
            self._producer.poll(0)
        self.ended.set()
        self._producer.flush(DRAIN_SECONDS)


class _Listener:
    """Notes when each answer was seen; later answers to the same request do not count."""

    def __init__(self, count: int) -> None:
        self.seen_ms: Times = np.zeros(count)
        self.stamped_ms: Times = np.zeros(count)
        self.scored_ms: Times = np.zeros(count)
        self._waiting = count

    def listen(self, consumer: Consumer, sender: _DueSender) -> int:
        """Listen until all are answered; return how many were not when the last was sent."""
        waiting_at_end: int | None = None
        deadline = 0.0
        while self._waiting:
            message = consumer.poll(0.05)
            if message is not None:
                self._note(message)
            if not sender.ended.is_set():
                if not sender.is_alive():
                    raise TransportError("the sender has ended early")
            elif waiting_at_end is None:
                waiting_at_end = self._waiting
                deadline = time.monotonic() + DRAIN_SECONDS
            elif time.monotonic() > deadline:
                raise TransportError(
                    f"{self._waiting} of {len(self.seen_ms)} requests without an answer "
                    f"{DRAIN_SECONDS:g} s after the last was sent"
                )
        return waiting_at_end or 0

    def _note(self, message: Message) -> None:
        now_ms = time.time() * 1000
        if (error := message.error()) is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                return
            raise KafkaException(error)
        given = decode_given(message.value() or b"")
        if given.status != "ok":
            raise TransportError(f"request {given.request_id} was answered {given.status!r}")
        number = int(given.request_id)
        if self.seen_ms[number]:
            return
        self.seen_ms[number] = now_ms
        self.stamped_ms[number] = message.timestamp()[1]
        self.scored_ms[number] = given.provenance.latency_ms
        self._waiting -= 1
