"""A client that fetches no more, without an error, is replaced: nothing is missed for long.

librdkafka does so now and then after a broker's restart (its issue 5153). Here a client's fetches
are withheld, which looks the same from outside: records are there, and none comes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Message
from harness.outcome_following import answer_of, following_outcomes, until_closed
from harness.waiting import wait_until

from ops.bench.rig.soak_traffic import SoakTraffic
from ops.clients import kafka_client as client
from registry.asking import librdkafka_clients
from registry.asking.librdkafka_clients import ClientFactory
from registry.asking.reply_reader import ReplyReader
from registry.error_codes import NoticeCode
from registry.kafka import topic_reader
from registry.kafka.topic_admin import create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.responses import Provenance, Response
from registry.wire.training_records.catalogue_items import CatalogueItem
from registry.wire.training_records.interactions import Interaction
from streams.catalogue.item_follower import ItemFollower
from streams.fresh.interaction_follower import InteractionFollower

WITHIN_SECONDS = 60
ITEMS_WITHIN_SECONDS = 60
"""A follower of items looks every 10 s, and only while nothing comes."""


class Halting(Consumer):
    """A consumer that can be told to fetch nothing any more."""

    made: list[Halting]
    _halted = False
    _calls = 0

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.made.append(self)

    def halt(self) -> None:
        """Fetch nothing more; return when the call that is under way has ended."""
        self._halted, before = True, self._calls
        wait_until(lambda: self._calls > before, 60, "the client's call to end")

    def poll(self, timeout: float = -1) -> Message | None:
        found = self._nothing(timeout) if self._halted else super().poll(timeout)
        self._calls += 1
        return found

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        call = self._no_messages if self._halted else super().consume
        found = call(num_messages, timeout)
        self._calls += 1
        return found

    def _no_messages(self, _: int, timeout: float) -> list[Message]:
        self._nothing(timeout)
        return []

    def _nothing(self, timeout: float) -> None:
        time.sleep(max(0.0, timeout))


@pytest.fixture
def halting(monkeypatch: pytest.MonkeyPatch) -> list[Halting]:
    monkeypatch.setattr(Halting, "made", [], raising=False)
    monkeypatch.setattr(topic_reader, "Consumer", Halting)
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
        wait_until(lambda: follower.records == 1, 60, "the first interaction")

        halting[-1].halt()
        watched(settings, 2)
        wait_until(lambda: follower.records == 2, WITHIN_SECONDS, "the second interaction")
        watched(settings, 3)
        wait_until(lambda: follower.records == 3, WITHIN_SECONDS, "the third interaction")
    finally:
        follower.stop()


def test_a_follower_of_items_whose_client_stands_still_reads_on_with_another(
    settings: Settings, halting: list[Halting]
) -> None:
    create_topics(settings)
    topic = topics_of(settings).items

    def withdraw(item: int) -> None:
        record = encode(CatalogueItem(item, withdrawn=True))
        client.produce_all(settings, topic, [(item, record)])

    async def scenario() -> None:
        follower = ItemFollower(settings, topic, lambda _: None, lambda _: None)
        noticed = set()

        def look() -> int:
            if (notice := follower.notice()) is not None:
                noticed.add(notice.code)
            return follower.withdrawn

        follower.start()
        try:
            await _until(lambda: follower.reason() is None, 60, "the topic to be read")
            for item in (1, 2, 3):
                if item == 2:
                    halting[-1].halt()
                withdraw(item)
                await _until(
                    lambda count=item: look() == count,
                    ITEMS_WITHIN_SECONDS,
                    f"item {item} to be withdrawn",
                )
        finally:
            follower.stop()
        assert noticed == {NoticeCode.ITEMS_NOT_READ}  # while it connected anew

    asyncio.run(scenario())


def test_outcomes_are_joined_on_after_the_client_stood_still_and_nobody_is_lost_or_counted_twice(
    settings: Settings, halting: list[Halting]
) -> None:
    settings = settings.model_copy(update={"attribution_seconds": 1.0})
    create_topics(settings)

    async def scenario() -> None:
        async with following_outcomes(settings) as follower:
            for user in (1, 2, 3):
                if user == 2:
                    halting[-1].halt()
                answer_of(settings, user)
                await until_closed(follower, user, WITHIN_SECONDS)

    asyncio.run(scenario())


async def _until(is_so: Callable[[], bool], seconds: float, what: str) -> None:
    await asyncio.to_thread(wait_until, is_so, seconds, what)


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
        wait_until(lambda: answers == [b"first"], 60, "the first answer")

        halting[-1].halt()
        client.produce_all(settings, topic, [("1", b"second"), ("2", b"third")])
        wait_until(lambda: len(answers) == 3, WITHIN_SECONDS, "the answers meanwhile")

        assert sorted(answers, key=str) == [b"first", b"second", b"third"]
    finally:
        reading.close()


def test_a_soak_whose_client_stands_still_near_its_end_hears_all_answers(
    settings: Settings, halting: list[Halting]
) -> None:
    create_topics(settings)
    topic = topics_of(settings).responses
    made_by = Provenance(settings.environment, "w1")
    with SoakTraffic(settings, 2) as traffic:
        wait_until(lambda: traffic.waiting >= 1, 60, "the first request")
        halting[-1].halt()
        names = [f"{traffic._prefix}{number}" for number in range(40)]
        answers = [("1", encode(Response(name, 1, "ok", made_by))) for name in names]
        client.produce_all(settings, topic, answers)

    assert (traffic.waiting, traffic.stalls) == (0, 1)
    assert traffic.statuses == {"ok": traffic.asked}
