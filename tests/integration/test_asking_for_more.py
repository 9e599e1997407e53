"""What a request may ask for beside a user's own list: from one real worker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from harness.client import Answer, Client
from harness.fresh import fresh_settings, publish_model, random_arrays
from harness.waiting import wait_until
from harness.workers import Worker

from registry.catalogue.item_labels import labelled
from registry.connection.client_config import client_config
from registry.kafka.topic_admin import check_topics, create_topics
from registry.scoring.model_arrays import ModelArrays
from registry.settings import Settings

Ask = Callable[..., Answer]
ITEMS = 40
GENRES = ("Comedy", "Drama", "War")


@pytest.fixture(scope="module")
def arrays() -> ModelArrays:
    made = random_arrays(50, ITEMS, 8, 0)
    labels = labelled([{"genre": [GENRES[row % 3]]} for row in range(ITEMS)])
    return ModelArrays(
        **{name: getattr(made, name) for name in made.__slots__} | {"labels": labels}
    )


@pytest.fixture(scope="module")
def settings(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = fresh_settings(kafka, tmp_path_factory.mktemp("fleet"))
    create_topics(made)
    wait_until(lambda: not check_topics(made), 15, "the topics to be there")
    return made


@pytest.fixture(scope="module")
def worker(
    settings: Settings, arrays: ModelArrays, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    publish_model(settings, arrays=arrays)
    running = Worker(settings, "w1", tmp_path_factory.mktemp("worker"))
    try:
        yield running.wait_ready()
    finally:
        running.end()


@pytest.fixture(scope="module")
def ask(settings: Settings, worker: Worker) -> Iterator[Ask]:
    client = Client(settings)
    producer = Producer(client_config(settings) | {"linger.ms": 0})

    def send(**asked: Any) -> Answer:
        name = uuid.uuid4().hex
        request = {"request_id": name, "k": ITEMS} | asked
        key = str(request.get("user_id") or request.get("session_id") or name)
        producer.produce(client.topics.requests.name, json.dumps(request), key)
        assert producer.flush(10) == 0
        (answer, *_) = client.wait_for([name], 30)[name]
        return answer

    yield send
    client.close()


def items_of(answer: Answer) -> list[int]:
    return [item["item_id"] for item in answer["items"]]


def genre(item: int) -> str:
    return GENRES[(item - 1) % 3]


@pytest.mark.parametrize("user", [7, 999])
def test_only_candidates_and_allowed_labels_are_ranked_known_user_or_not(
    ask: Ask, user: int
) -> None:
    everything = items_of(ask(user_id=user))

    answer = ask(user_id=user, candidates=[*everything[::4], 12345])
    assert items_of(answer) == everything[::4]
    assert answer["provenance"]["unknown_items"] == 1

    comedies = items_of(ask(user_id=user, allow={"genre": ["Comedy"]}))
    assert comedies == [item for item in everything if genre(item) == "Comedy"]
    no_war = ask(user_id=user, candidates=everything[:9], exclude={"genre": ["War"]})
    assert items_of(no_war) == [item for item in everything[:9] if genre(item) != "War"]


def test_a_label_that_no_item_has_is_refused_with_the_labels_that_there_are(ask: Ask) -> None:
    answer = ask(user_id=7, allow={"mood": ["dark"]})
    assert (answer["status"], answer["error"]["code"]) == ("error", "unknown_label")
    assert "the label 'mood'; its labels: 'genre'" in answer["error"]["message"]
