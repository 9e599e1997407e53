"""An item that no version knows joins the lists of those who have such taste, and of nobody else.

Two workers each have a part of its users. Items and users have one of two tastes, by their parity.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from confluent_kafka import Producer
from harness.client import Answer, Client
from harness.fresh import publish_model
from harness.slow_twin import SlowTwin, read_interactions
from harness.waiting import wait_until
from harness.workers import Worker

from ops.bench.rig.synthetic import watched_once
from ops.clients.fresh_arithmetic import recompute
from registry.connection.client_config import client_config
from registry.fold_in.loss_function import LossFunction
from registry.fold_in.row_solver import Entries, RowSolver
from registry.kafka.partitioners import murmur2_partition
from registry.kafka.topic_reader import ALL, ends_of, messages, reading
from registry.kafka.topics import topics_of
from registry.new_items.item_shares import NewItem
from registry.new_items.new_item_records import decode_record, vector_of_record
from registry.scoring.model_arrays import ModelArrays
from registry.settings import Settings
from registry.versions.store import store_of
from registry.wire.requests import Request
from registry.wire.responses import Response
from registry.wire.rollout_state import RolloutState

Start = Callable[..., Worker]
USERS, ITEMS, NEW = 60, 40, 1_000
FANS = range(1, 29, 2)
"""Half of those with odd tastes."""


def two_tastes(*items: int) -> ModelArrays:
    """Return a version whose every item was watched by five users of its taste."""
    random = np.random.default_rng(5)
    tastes = np.eye(2)[np.arange(1, USERS + 1) % 2]
    users = np.hstack([tastes, np.zeros((USERS, 2))]) + random.normal(0, 0.1, (USERS, 4))
    watched = np.zeros((USERS, len(items)), np.bool_)
    for row, item in enumerate(items):
        watched[random.choice(np.arange((item + 1) % 2, USERS, 2), 5, replace=False), row] = True
    by_item, by_user = np.nonzero(watched.T), np.nonzero(watched)
    entries = Entries(
        np.arange(0, 5 * len(items) + 1, 5),
        by_item[1].astype(np.int32),
        np.ones(5 * len(items), np.float32),
    )
    factors = users.astype(np.float32)
    return ModelArrays(
        user_factors=factors,
        item_factors=RowSolver(factors, LossFunction(1.0, 0.05)).solve(entries),
        user_ids=list(range(1, USERS + 1)),
        item_ids=list(items),
        seen_indptr=np.searchsorted(by_user[0], np.arange(USERS + 1)).astype(np.int64),
        seen_items=by_user[1].astype(np.int32),
        popularity=np.full(len(items), 5.0),
        titles=[None] * len(items),
        learned=watched_once(5 * len(items)),
    )


class Scene:
    """Users who ask and watch, and what is on the new-items topic."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self.client, self.settings = client, settings
        self._producer = Producer(client_config(settings) | {"partitioner": "murmur2_random"})

    def ask(self, user: int, **more: Any) -> Answer:
        name = uuid.uuid4().hex
        self._send(self.client.topics.requests.name, user,
                   {"request_id": name, "user_id": user, "k": 5} | more)  # fmt: skip
        (answer, *_) = self.client.wait_for([name], 60)[name]
        return answer

    def watch(self, *users: int) -> None:
        for user in users:
            record = {"user_id": user, "event": "watch", "item_id": NEW}
            self._send(self.client.topics.interactions.name, user, record)

    def vector(self, version: str) -> NewItem | None:
        """Return the newest vector of the new item on the topic."""
        found = None
        with reading(self.settings, topics_of(self.settings).new_items, ALL) as consumer:
            for message in messages(consumer, 30, to_end=True):
                value = message.value()
                solved = None if value is None else decode_record(value).solved
                if solved is not None and decode_record(value).version == version:
                    found = vector_of_record(solved)
        return found

    def require_twins_vector(self, version: str, users: int) -> None:
        """Return when the topic has the slow twin's vector, of so many users."""
        twin = SlowTwin(store_of(self.settings).open(version), self.settings)
        counted, expected = twin.new_vector(read_interactions(self.settings), NEW)
        assert counted == users
        wait_until(
            lambda: (self.vector(version) or NewItem(0, np.empty(0))).users == users,
            60, f"a vector of {users} users",
        )  # fmt: skip
        found = self.vector(version)
        assert found is not None
        np.testing.assert_allclose(found.vector, expected, atol=1e-4)

    def _send(self, topic: str, user: int, record: dict[str, Any]) -> None:
        self._producer.produce(topic, json.dumps(record), str(user))
        assert self._producer.flush(10) == 0


def offset_of_new(answer: Answer) -> int | None:
    """Return where the vector of the new item is; None: it is not listed as new."""
    by_item = {item["item_id"]: item.get("vector_offset") for item in answer["items"]}
    return by_item.get(NEW)


def test_a_new_item_joins_the_lists_of_such_taste_survives_a_kill_and_is_learned(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    settings = topics_created.model_copy(update={"new_items": "on"})
    version = publish_model(settings, arrays=two_tastes(*range(1, ITEMS + 1)))
    workers = [start_worker(settings).wait_ready() for _ in range(2)]
    scene, asking = Scene(client, settings), 41
    partitions = {murmur2_partition(str(user).encode(), settings.partitions) for user in FANS}
    assert partitions == set(range(settings.partitions))
    before = scene.ask(asking)

    scene.watch(*FANS)

    wait_until(lambda: offset_of_new(scene.ask(asking)) is not None, 60, "the new item")
    scene.require_twins_vector(version, len(FANS))
    answer = scene.ask(asking)
    assert len(answer["items"]) == len(before["items"])
    assert offset_of_new(scene.ask(40)) is None  # of the other taste
    assert offset_of_new(scene.ask(FANS[0])) is None  # has seen it
    wait_until(  # the worker of this one may hear of it later
        lambda: offset_of_new(scene.ask(FANS[0], exclude_seen=False)) is not None,
        60, "the new item for whoever has seen it",
    )  # fmt: skip
    assert offset_of_new(scene.ask(asking, exclude_items=[NEW])) is None
    state = RolloutState("production", answer["provenance"]["rollout_epoch"], "fixed", version)
    made_of = recompute(
        settings, Request("r", asking, k=5), msgspec.convert(answer, Response), state
    )
    assert made_of.new_items == 1
    assert list(made_of.item_ids) == [item["item_id"] for item in answer["items"]]

    owner, other = sorted(
        workers, key=lambda worker: not worker.get("/rollout/status")["owns_control"]
    )
    owner.kill()  # the other one gets its partitions, and solves from now on
    scene.watch(33)

    scene.require_twins_vector(version, len(FANS) + 1)
    metric = f'new_items{{model_version="{version}"}} 1.0'
    wait_until(lambda: metric in other.fetch("/metrics").text, 60, "the metric")

    ends = ends_of(settings, topics_of(settings).interactions)
    newer = publish_model(
        settings,
        arrays=two_tastes(*range(1, ITEMS + 1), NEW),
        snapshot_ends={str(number): (0, end) for number, end in ends.items()},
    )
    assert client.command(type="swap", model_version=newer)["status"] == "applied"

    def is_learned() -> bool:
        answer = scene.ask(asking, k=ITEMS)
        listed = NEW in [item["item_id"] for item in answer["items"]]
        return answer["model_version"] == newer and listed and offset_of_new(answer) is None

    wait_until(is_learned, 60, "the new item to be one of the version's own")
