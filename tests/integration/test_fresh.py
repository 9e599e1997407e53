"""What users did a second ago counts: through Kafka, in real workers, whatever happens to them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from harness.client import Answer, Client
from harness.fresh import publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from registry.connection.client_config import client_config
from registry.settings import Settings

Start = Callable[..., Worker]
ITEMS = 40
BAR_SECONDS = 1.0
JAVAS = {"partitioner": "murmur2_random"}


class Application:
    """Asks for recommendations and says what users do, both with Java's partitioner."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._topics = client.topics
        self._producer = Producer(client_config(client.settings) | JAVAS | {"linger.ms": 0})

    def ask(self, user: int, k: int = ITEMS, **more: Any) -> Answer:
        name = uuid.uuid4().hex
        request = {"request_id": name, "user_id": user, "k": k} | more
        self._send(self._topics.requests.name, user, request)
        (answer, *_) = self.client.wait_for([name], 30)[name]
        return answer

    def did(self, user: int, event: str, item: int | None = None, **more: Any) -> float:
        """Send an interaction; return when Kafka had it."""
        record = {"user_id": user, "event": event, "item_id": item} | more
        self._send(self._topics.interactions.name, user, record)
        return time.monotonic()

    def _send(self, topic: str, user: int, record: dict[str, Any]) -> None:
        self._producer.produce(topic, json.dumps(record), str(user))
        assert self._producer.flush(10) == 0


@pytest.fixture
def application(client: Client) -> Application:
    return Application(client)


def items_of(answer: Answer) -> list[int]:
    return [item["item_id"] for item in answer["items"]]


def wait_until_gone(application: Application, user: int, item: int, began: float) -> float:
    """Return how long the item was still recommended."""
    wait_until(lambda: item not in items_of(application.ask(user)), 10, f"item {item} to go")
    return time.monotonic() - began


def test_what_was_just_watched_is_gone_within_a_second_for_known_and_unknown_users(
    application: Application,
    topics_created: Settings,
    start_worker: Start,
    figure: Callable[[str], None],
) -> None:
    publish_model(topics_created)
    for _ in range(2):
        start_worker(topics_created).wait_ready()
    seconds = []
    for user in (*range(1, 11), *range(900, 910)):
        before = application.ask(user)
        first = items_of(before)[0]
        seconds.append(
            wait_until_gone(application, user, first, application.did(user, "watch", first))
        )
        after = application.ask(user)
        assert items_of(after) == items_of(before)[1:]
        assert after["source"] == before["source"]
        assert after["provenance"]["fresh"] == "followed"
        assert sum(after["provenance"]["fresh_offsets"].values()) >= 1
        assert first in items_of(application.ask(user, exclude_seen=False))
    figure(f"gone after {sorted(seconds)[len(seconds) // 2]:.2f} s, at most {max(seconds):.2f} s")
    assert max(seconds) < BAR_SECONDS


def test_a_forget_makes_a_user_nobody_from_the_next_answer_on(
    application: Application, topics_created: Settings, start_worker: Start
) -> None:
    publish_model(topics_created)
    start_worker(topics_created).wait_ready()
    known, nobody = application.ask(7), application.ask(999)
    assert known["source"] == "model"

    application.did(7, "watch", items_of(nobody)[0])
    application.did(7, "forget")

    def is_nobody() -> Answer | None:
        answer = application.ask(7)
        return answer if answer["source"] == "popular" else None

    forgotten = wait_until(is_nobody, 5, "user 7 to be nobody")
    assert items_of(forgotten) == items_of(nobody)
    assert forgotten["fallback_reason"] == "unknown_user"
    new = items_of(nobody)[0]
    wait_until_gone(application, 7, new, application.did(7, "watch", new))


def test_it_counts_on_whoever_takes_over_after_a_kill(
    application: Application, topics_created: Settings, start_worker: Start
) -> None:
    publish_model(topics_created)
    workers = [start_worker(topics_created).wait_ready() for _ in range(2)]
    watched = {}
    for user in range(1, 21):
        watched[user] = items_of(application.ask(user))[0]
        application.did(user, "watch", watched[user])
    for user, item in watched.items():
        wait_until_gone(application, user, item, time.monotonic())

    workers[0].kill()

    for user, item in watched.items():
        answer = application.ask(user)
        assert item not in items_of(answer) or answer["provenance"]["fresh"] == "catching_up"
    start_worker(topics_created).wait_ready()
    for user, item in watched.items():
        answer = application.ask(user)
        assert item not in items_of(answer) or answer["provenance"]["fresh"] == "catching_up"
        wait_until_gone(application, user, item, time.monotonic())


def test_an_interaction_is_fresh_for_the_versions_that_have_not_learned_from_it(
    application: Application, topics_created: Settings, start_worker: Start
) -> None:
    older = publish_model(topics_created)
    start_worker(topics_created).wait_ready()
    seen = items_of(application.ask(5))[0]
    application.did(5, "watch", seen)
    wait_until_gone(application, 5, seen, time.monotonic())
    everything = {str(number): (0, 1) for number in range(topics_created.partitions)}
    newer = publish_model(topics_created, seed=1, snapshot_ends=everything)
    assert application.client.command(type="swap", model_version=newer)["status"] == "applied"

    asked = {
        version: wait_until(
            lambda version=version: (
                application.ask(5, model_version=version).get("items")
                and application.ask(5, model_version=version)
            ),
            10,
            version,
        )
        for version in (older, newer)
    }

    assert seen not in items_of(asked[older])
    assert seen in items_of(asked[newer])  # it has learned from it, and does not list it as seen
