"""What a request may ask for beside a user's own list: from one real worker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from harness.client import Answer, Client
from harness.fresh import fresh_settings, publish_model, random_arrays
from harness.waiting import wait_until
from harness.workers import Worker

from ops.bench.rig.synthetic import watched_once
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
    return replace(made, labels=labels, learned=watched_once(len(made.seen_items)))


@pytest.fixture(scope="module")
def settings(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    made = fresh_settings(kafka, tmp_path_factory.mktemp("fleet"))
    create_topics(made)
    wait_until(lambda: not check_topics(made), 60, "the topics to be there")
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


def slow_twin(arrays: ModelArrays, items: Sequence[int]) -> np.ndarray:
    """Return all scores by the equation as it stands: alpha 1, regularization 0.05, weights 1."""
    y = arrays.item_factors.astype(np.float64)
    rows = [arrays.item_ids.index(item) for item in items]
    matrix, vector = y.T @ y + 0.05 * np.eye(y.shape[1]), y[rows].sum(axis=0)
    return y @ np.linalg.solve(matrix, vector)


def assert_ranked_by(scores: np.ndarray, answer: Answer, but: Sequence[int]) -> None:
    best = [int(row) + 1 for row in np.argsort(-scores) if row + 1 not in but]
    assert items_of(answer) == best
    found = [item["score"] for item in answer["items"]]
    assert found == pytest.approx([scores[item - 1] for item in best], abs=1e-4)


def test_nobody_by_name_gets_what_the_slow_twin_makes_of_his_session(
    ask: Ask, arrays: ModelArrays
) -> None:
    session = [{"item_id": 3}, {"item_id": 9, "event": "watch"}, {"item_id": 777}]
    for more in ({}, {"session_id": "s-1"}):
        answer = ask(items=session, **more)
        assert (answer["source"], answer.get("session_id")) == ("fold_in", more.get("session_id"))
        assert answer["user_id"] is None
        assert answer["provenance"]["unknown_items"] == 1
        assert_ranked_by(slow_twin(arrays, [3, 9]), answer, [3, 9])
    nothing = ask(items=[{"item_id": 777}])
    assert (nothing["source"], nothing["fallback_reason"]) == ("popular", "unknown_items")


def test_a_known_users_session_comes_on_top_and_each_item_says_what_it_comes_from(
    ask: Ask, arrays: ModelArrays
) -> None:
    own = [8, 9, 30]  # user 7 has seen 8 and 9
    answer = ask(user_id=7, items=[{"item_id": 30}], explain=True)
    assert answer["source"] == "recomputed"
    scores = slow_twin(arrays, own)
    assert_ranked_by(scores, answer, own)
    first = answer["items"][0]
    assert {because["item_id"] for because in first["because"]} <= set(own)
    shares = [because["contribution"] for because in first["because"]]
    assert sum(shares) >= first["score"] - 1e-4  # what counts against it is not shown
    assert ask(user_id=7)["source"] == "model"


def test_nearest_items_are_those_with_the_largest_mean_cosine(
    ask: Ask, arrays: ModelArrays
) -> None:
    units = arrays.item_factors / np.linalg.norm(arrays.item_factors, axis=1)[:, None]
    answer = ask(like=[5, 6])
    assert answer["source"] == "similar"
    assert_ranked_by((units @ units[[4, 5]].T).mean(axis=1), answer, [5, 6])


def test_fields_that_do_not_go_together_are_refused_with_a_reason(ask: Ask) -> None:
    answer = ask(user_id=7, like=[5], explain=True)
    assert answer["error"]["code"] == "bad_combination"
