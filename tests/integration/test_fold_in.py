"""New users get their own lists, known ones new vectors, from a version and the topic alone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from harness.client import Answer, Client
from harness.fresh import OPEN_GATE, publish_model
from harness.waiting import wait_until
from harness.workers import Worker
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from registry.connection.client_config import client_config
from registry.scoring.model_arrays import ModelArrays
from registry.settings import Settings
from registry.versions.model import Model
from registry.versions.store import store_of
from registry.wire.codec import encode
from registry.wire.training_records.interactions import Interaction
from tests.e2e.test_cli import recstream
from tests.unit.training.builders import checkerboard_events
from tests.unit.training.data.test_cells_to_keep import by_training, gathered_of

Start = Callable[..., Worker]


class Application:
    """Asks, and says what users do, by Java's partitioner."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._producer = Producer(
            client_config(client.settings) | {"partitioner": "murmur2_random", "linger.ms": 0}
        )

    def ask(self, user: int, **more: Any) -> Answer:
        name = uuid.uuid4().hex
        request = {"request_id": name, "user_id": user, "k": 10, "exclude_seen": False} | more
        self._send(self.client.topics.requests.name, user, request)
        (answer, *_) = self.client.wait_for([name], 30)[name]
        return answer

    def did(self, user: int, event: str, *items: int) -> None:
        for item in items or (None,):
            record = {"user_id": user, "event": event, "item_id": item}
            self._send(self.client.topics.interactions.name, user, record)

    def _send(self, topic: str, user: int, record: dict[str, Any]) -> None:
        self._producer.produce(topic, json.dumps(record), str(user))
        assert self._producer.flush(10) == 0

    def wait_for(self, user: int, source: str, items: Sequence[int], arrays: ModelArrays) -> None:
        """Wait until the answer is the slow twin's, of one watch of each of these items."""
        self.wait_for_scores(user, source, slow_twin(arrays, items), arrays)

    def wait_for_scores(
        self, user: int, source: str, scores: np.ndarray, arrays: ModelArrays
    ) -> None:
        """Wait until the answer has the best by these scores, and compare what it says of them."""
        best = [arrays.item_ids[row] for row in np.argsort(-scores)[:10]]

        answer: Answer = {}

        def agrees() -> bool:
            answer.update(self.ask(user))
            return (
                answer["source"] == source and [item["item_id"] for item in answer["items"]] == best
            )

        try:
            wait_until(agrees, 60, f"{source} of user {user}: {best}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the last answer: {answer}") from None
        found = [item["score"] for item in self.ask(user)["items"]]
        assert found == pytest.approx(np.sort(scores)[::-1][:10].tolist(), abs=1e-4)


def slow_twin(arrays: ModelArrays, items: Sequence[int]) -> np.ndarray:
    """Return all scores by the equation as it stands: alpha 1, regularization 0.05, weights 1."""
    y = arrays.item_factors.astype(np.float64)
    rows = [arrays.item_ids.index(item) for item in items]
    matrix, vector = y.T @ y + 0.05 * np.eye(y.shape[1]), y[rows].sum(axis=0)
    return y @ np.linalg.solve(matrix, vector)


def test_new_and_known_users_get_what_the_slow_twin_makes_of_version_and_topic(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    version = publish_model(topics_created, mergeable=True)
    arrays = store_of(topics_created).open(version).arrays
    workers = [start_worker(topics_created).wait_ready() for _ in range(2)]
    application = Application(client)
    watched = {user: [user % 30 + 1, user % 7 + 31, user % 4 + 20] for user in range(900, 906)}
    for user, items in watched.items():
        application.did(user, "watch", *items[:2])
        assert application.ask(user)["source"] == "popular"
        application.did(user, "watch", items[2])
    for user, items in watched.items():
        application.wait_for(user, "fold_in", items, arrays)
    known = 7
    assert application.ask(known)["source"] == "model"
    bounds = slice(*arrays.seen_indptr[[known - 1, known]])
    seen = [int(arrays.item_ids[row]) for row in arrays.seen_items[bounds]]
    application.did(known, "watch", 30)
    application.wait_for(known, "recomputed", [*seen, 30], arrays)

    workers[0].kill()

    for user, items in watched.items():
        application.wait_for(user, "fold_in", items, arrays)
    application.did(known, "forget")
    wait_until(lambda: application.ask(known)["source"] == "popular", 5, "a forget")
    application.did(known, "watch", 1, 2, 3)
    application.wait_for(known, "fold_in", [1, 2, 3], arrays)


def test_what_a_user_takes_back_is_as_if_he_had_never_done_it(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    weights = "watch=1,unwatch=undo:watch"
    version = publish_model(topics_created, mergeable=True, event_weights=weights)
    arrays = store_of(topics_created).open(version).arrays
    start_worker(topics_created).wait_ready()
    application, new, known = Application(client), 950, 7

    def shown(user: int) -> set[int]:
        answer = application.ask(user, k=40, exclude_seen=True)
        return {item["item_id"] for item in answer["items"]}

    application.did(new, "watch", 1, 2, 3, 4)
    application.wait_for(new, "fold_in", [1, 2, 3, 4], arrays)
    assert not {1, 2, 3, 4} & shown(new)
    application.did(new, "unwatch", 4)
    application.wait_for(new, "fold_in", [1, 2, 3], arrays)
    assert 4 in shown(new)
    application.did(new, "unwatch", 3)
    wait_until(lambda: application.ask(new)["source"] == "popular", 60, "two items to be too few")
    application.did(new, "watch", 3)
    application.wait_for(new, "fold_in", [1, 2, 3], arrays)

    bounds = slice(*arrays.seen_indptr[[known - 1, known]])
    first, second = (int(arrays.item_ids[row]) for row in arrays.seen_items[bounds])
    assert not {first, second} & shown(known)
    application.did(known, "unwatch", first)
    application.wait_for(known, "recomputed", [second], arrays)
    assert first in shown(known)


WEIGHTS = "watch=1:sqrt,play=2:binary,buy=1.5:bm25:k1=2:b=0.5:per=item,save=1:bm25:per=user"


def test_under_every_transform_a_new_user_gets_what_the_trainings_own_solver_makes_of_him(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    kinds, drawn = ("watch", "play", "buy", "save"), np.random.default_rng(11)
    given = OPEN_GATE | {"retrain_event_weights": WEIGHTS, "retrain_factors": 8}
    settings = topics_created.model_copy(update=given)
    log = [
        Interaction(
            user_id=event.user_id,
            item_id=event.item_id,
            event=kinds[int(drawn.integers(4))],
            value=float(drawn.integers(1, 300)),
            timestamp=float(number),
        )
        for number, event in enumerate(checkerboard_events())
    ]
    for event in log:
        client._produce(client.topics.interactions, str(event.user_id).encode(), encode(event))
    client.flush()
    trained = recstream(settings, "train", "--deploy", "none", "--json")
    version = json.loads(trained.stdout)["training"]["version"]
    model = store_of(settings).open(version)
    start_worker(settings.model_copy(update={"model_version": version})).wait_ready()
    application, users = Application(client), (900, 901, 0, 1)
    fresh = [
        Interaction(
            user_id=user,
            item_id=item,
            event=kind,
            value=float(20 * place + user % 7 + 1),
            timestamp=10.0 * user + place,
        )
        for user in users
        for place, (item, kind) in enumerate(zip((3, 8, 12, 5), kinds, strict=True))
    ]
    for event in fresh:
        application._send(
            client.topics.interactions.name, int(event.user_id), json.loads(encode(event))
        )
    parameters = model.manifest.parameters
    weights = by_training([*log, *fresh], gathered_of(log, parameters), parameters)
    for user in users:
        source = "fold_in" if user >= 900 else "recomputed"
        application.wait_for_scores(user, source, by_implicit(model, weights[user]), model.arrays)


def by_implicit(model: Model, weight_by_item: dict[Any, float]) -> np.ndarray:
    """Return all scores of a user, solved by the library that the training fits with."""
    arrays, parameters = model.arrays, model.manifest.parameters
    with threadpool_limits(1, "blas"):  # or it warns
        solver = AlternatingLeastSquares(
            factors=parameters.factors,
            regularization=parameters.regularization,
            alpha=1.0,
            num_threads=1,
        )
    solver.item_factors = np.ascontiguousarray(arrays.item_factors)  # it takes their order for this
    solver.user_factors = np.zeros((1, parameters.factors), np.float32)
    row = np.zeros((1, len(arrays.item_ids)), np.float32)
    for item, weight in weight_by_item.items():
        row[0, arrays.item_ids.index(item)] = parameters.alpha * weight
    (vector,) = solver.recalculate_user(np.arange(1), csr_matrix(row))
    scores: np.ndarray = arrays.item_factors @ vector
    return scores
