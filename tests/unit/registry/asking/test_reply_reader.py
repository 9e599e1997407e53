"""The reader of answers goes on with another client when one refuses, or cannot be made."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from registry.asking import reply_reader
from registry.asking.reply_reader import ReplyReader
from registry.errors import ConfigurationError


class Broker:
    """Makes clients of a topic that gets a second partition, which the first client refuses.

    The second client cannot be made.
    """

    def __init__(self) -> None:
        self.clients = 0
        self.read: list[list[tuple[int, int]]] = []

    def consumer(self) -> Any:
        self.clients += 1
        if self.clients == 2:
            raise ConfigurationError("too many open files")
        return self

    def list_topics(self, topic: str, **_: Any) -> Any:
        partitions = dict.fromkeys(range(2 if self.read else 1))
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions=partitions)})

    def offsets_for_times(self, places: list[TopicPartition], **_: Any) -> list[TopicPartition]:
        return [TopicPartition(place.topic, place.partition, 7) for place in places]

    def assign(self, places: list[TopicPartition]) -> None:
        self.read.append([(place.partition, place.offset) for place in places])

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        if self.clients == 1:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.assign(places)

    def poll(self, _: float) -> Any:
        if len(self.read) < 3:
            return None
        return SimpleNamespace(
            error=lambda: None, partition=lambda: 1, offset=lambda: 0, value=lambda: b"answer"
        )

    def note_contact(self) -> None:
        """Nobody asks."""

    def close(self) -> None:
        """Nothing is held."""


def test_a_client_that_refuses_is_replaced_and_no_request_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reply_reader, "CONTACT_SECONDS", 0.0)
    broker: Any = Broker()
    answered, failures = threading.Event(), []
    reader = ReplyReader(broker, "t", 60, lambda _: answered.set(), failures.append)
    reader.expect(1)
    try:
        assert answered.wait(60)
    finally:
        reader.close()
    assert broker.clients == 3
    assert broker.read[0] == broker.read[1] == [(0, 7)]
    assert [place[0] for place in broker.read[2]] == [1]
    assert failures == []
