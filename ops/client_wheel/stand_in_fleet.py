"""A fleet for an application's tests: answers on a broker of the test as the test says.

A thread that reads the three topics of an application from their beginning. Must not know models:
what it answers is made up.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Final

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from registry.wire.requests import Request
from registry.wire.responses import Item, Provenance, Response
from registry.wire.training_records.interactions import Interaction

PARTITIONS: Final = 4
ADMIN_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.05
PARTS: Final = ("requests", "responses", "interactions")

Answer = Callable[[Request], Response | None]


def popular_items(request: Request) -> Response:
    """Answer with items 1 to k, as for a user whom no model knows.

    >>> [item.item_id for item in popular_items(Request("r-1", 42, k=3)).items]
    [1, 2, 3]
    """
    return Response(
        request_id=request.request_id,
        user_id=request.user_id,
        status="ok",
        provenance=Provenance(environment="test", worker="stand-in"),
        items=[Item(number, 1.0 / number) for number in range(1, request.k + 1)],
        model_version="v0.1",
        variant="primary",
        source="popular",
        fallback_reason="unknown_user",
    )


class StandInFleet:
    """Topics of their own on a broker, and somebody who answers; a context manager.

    ``requests`` and ``interactions`` are what the application sent, in the order of arrival.

    Parameters
    ----------
    bootstrap_servers
        The broker's address.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.topic_prefix = f"test-{uuid.uuid4().hex[:12]}"
        self.requests: list[Request] = []
        self.interactions: list[Interaction] = []
        self._answer: Answer = popular_items
        self._closing = threading.Event()
        self._create_topics()
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0})
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def answer_with(self, answer: Answer) -> None:
        """Answer each request with what `answer` returns from now on; not at all with None."""
        self._answer = answer

    def __enter__(self) -> StandInFleet:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()

    def _create_topics(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        topics = [NewTopic(f"{self.topic_prefix}.{part}", PARTITIONS) for part in PARTS]
        for future in admin.create_topics(topics, request_timeout=ADMIN_SECONDS).values():
            future.result()

    def _serve(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": f"{self.topic_prefix}-stand-in",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
            }
        )
        consumer.assign(
            [
                TopicPartition(f"{self.topic_prefix}.{part}", number, OFFSET_BEGINNING)
                for part in ("requests", "interactions")
                for number in range(PARTITIONS)
            ]
        )
        while not self._closing.is_set():
            message = consumer.poll(POLL_SECONDS)
            if message is not None and message.error() is None:
                self._take(message)
            self._producer.poll(0)
        consumer.close()

    def _take(self, message: Message) -> None:
        payload = message.value() or b""
        if message.topic() == f"{self.topic_prefix}.interactions":
            self.interactions.append(msgspec.json.decode(payload, type=Interaction))
            return
        request = msgspec.json.decode(payload, type=Request)
        self.requests.append(request)
        answer = self._answer(request)
        if answer is not None:
            self._producer.produce(
                f"{self.topic_prefix}.responses",
                msgspec.json.encode(answer),
                message.key(),
                message.partition() or 0,  # an answer goes to the number of its request
            )
