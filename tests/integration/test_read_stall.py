"""A client that fetches no more, without an error, is replaced: nothing is missed for long.

librdkafka does so now and then after a broker's restart (its issue 5153). Here a client's fetches
are withheld, which looks the same from outside: records are there, and none comes.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import Consumer, Message
from harness.waiting import wait_until

from ops.clients import kafka_client as client
from registry.asking import librdkafka_clients
from registry.asking.librdkafka_clients import ClientFactory
from registry.asking.reply_reader import ReplyReader
from registry.kafka import reader
from registry.kafka.topic_admin import create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.training_records.interactions import Interaction
from streams.fresh.interaction_follower import InteractionFollower

WITHIN_SECONDS = 25


class Halting(Consumer):
    """A consumer that can be told to fetch nothing any more."""

    made: list[Halting]
    halted = False

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.made.append(self)

    def poll(self, timeout: float = -1) -> Message | None:
        return self._nothing(timeout) if self.halted else super().poll(timeout)

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        if self.halted:
            self._nothing(timeout)
            return []
        return super().consume(num_messages, timeout)

    def _nothing(self, timeout: float) -> None:
        time.sleep(max(0.0, timeout))


@pytest.fixture
def halting(monkeypatch: pytest.MonkeyPatch) -> list[Halting]:
    monkeypatch.setattr(Halting, "made", [], raising=False)
    monkeypatch.setattr(reader, "Consumer", Halting)
    monkeypatch.setattr(librdkafka_clients, "Consumer", Halting)
    return Halting.made


def watched(settings: Settings, user: int) -> None:
    record = encode(Interaction(user_id=user, item_id=1, event="watch"))
    client.produce_all(settings, topics_of(settings).interactions, [(str(user), record)])


def test_a_follower_whose_client_stands_still_reads_on_with_another(
    settings: Settings, halting: list[Halting]
) -> None:
    create_topics(settings)
    topic = topics_of(settings).interactions
    follower = InteractionFollower(settings, topic)
    follower.follow(dict.fromkeys(range(topic.partitions), 0))
    follower.start()
    try:
        watched(settings, 1)
        wait_until(lambda: follower.records == 1, 30, "the first interaction")

        halting[-1].halted = True
        watched(settings, 2)
        wait_until(lambda: follower.records == 2, WITHIN_SECONDS, "the second interaction")
        watched(settings, 3)
        wait_until(lambda: follower.records == 3, WITHIN_SECONDS, "the third interaction")
    finally:
        follower.stop()


def test_a_reader_of_answers_whose_client_stands_still_misses_none(
    settings: Settings, halting: list[Halting]
) -> None:
    create_topics(settings)
    topic = topics_of(settings).responses
    clients = ClientFactory(settings.kafka_bootstrap_servers, settings.topic_prefix, {})
    answers: list[bytes | None] = []
    reading = ReplyReader(clients, topic.name, 20, answers.append, lambda error: None)
    try:
        client.produce_all(settings, topic, [("1", b"first")])
        wait_until(lambda: answers == [b"first"], 20, "the first answer")

        halting[-1].halted = True
        client.produce_all(settings, topic, [("1", b"second"), ("2", b"third")])
        wait_until(lambda: len(answers) == 3, WITHIN_SECONDS, "the answers meanwhile")

        assert sorted(answers, key=str) == [b"first", b"second", b"third"]
    finally:
        reading.close()
