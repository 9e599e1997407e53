"""An item that is withdrawn is gone from the answers of every worker within a second."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka.admin import AdminClient
from harness.client import Client
from harness.fresh import environment_of, publish_model, without
from harness.waiting import wait_until
from harness.workers import ROOT, Worker

from registry.catalogue.item_keys import key_of
from registry.connection.client_config import client_config
from registry.kafka.topic_admin import check_topics, create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.training_records.catalogue_items import CatalogueItem

Start = Callable[..., Worker]
USERS = range(1, 41)
NEW_USERS = range(1001, 1021)
DEADLINE_SECONDS = 5.0
BAR_SECONDS = 1.0


class Shop:
    """Asks for all users again and again, and looks who still shows an item."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked = 0

    def send(self, item: CatalogueItem) -> None:
        self._client.produce(self._client.topics.items, encode(item), key_of(item.item_id))

    def answers(self, k: int = 38) -> list[dict[str, Any]]:
        """Ask once for each user; return the answers."""
        self._asked += 1
        ids = [f"a{self._asked}-{user}" for user in (*USERS, *NEW_USERS)]
        self._client.send(
            {"request_id": request_id, "user_id": user, "k": k, "exclude_seen": False}
            for request_id, user in zip(ids, (*USERS, *NEW_USERS), strict=True)
        )
        found = self._client.wait_for(ids)
        return [found[request_id][0] for request_id in ids]

    def seconds_until_gone(self, item_ids: Iterable[int], since: float) -> float:
        """Ask until nobody is shown one of the items; return how long after `since` that was.

        By the time of the answers: the last one of the first round in which both workers answer,
        and none shows any.
        """
        gone = set(item_ids)
        while time.time() < since + DEADLINE_SECONDS:
            answers = self.answers()
            both = {answer["provenance"]["worker"] for answer in answers}
            if len(both) == 2 and not any(gone & shown(answer) for answer in answers):
                ids = [answer["request_id"] for answer in answers]
                return max(self._client.answered_at[request_id][0] for request_id in ids) - since
        raise AssertionError(f"{gone} are still shown after {DEADLINE_SECONDS:g} s")

    def wait_until_shown(self, item_id: int) -> None:
        what = f"item {item_id} to come back"
        wait_until(lambda: all(item_id in shown(answer) for answer in self.answers(40)), 60, what)


def shown(answer: dict[str, Any]) -> set[Any]:
    return {item["item_id"] for item in answer["items"]}


def test_an_item_that_is_withdrawn_is_gone_from_both_workers_within_a_second(
    client: Client, topics_created: Settings, start_worker: Start, figure: Callable[[str], None]
) -> None:
    version = publish_model(topics_created, users=len(USERS))
    workers = [start_worker(topics_created) for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    assert client.command(type="swap", model_version=version)["status"] == "applied"
    shop = Shop(client)
    before = wait_until(
        lambda: (
            (found := shop.answers())
            and len({answer["provenance"]["worker"] for answer in found}) == 2
            and found
        ),
        30,
        "answers of both workers",
    )
    assert all("withdrawn_items" not in answer["provenance"] for answer in before)

    since = time.time()
    shop.send(CatalogueItem(7, "Seven", withdrawn=True))
    seconds = shop.seconds_until_gone([7], since)
    figure(f"gone from two workers' answers {seconds:.2f} s after the withdrawal was sent")
    assert seconds <= BAR_SECONDS
    after = shop.answers()
    assert {answer["source"] for answer in after} == {"model", "popular"}
    assert {len(answer["items"]) for answer in after} == {38}
    assert {answer["provenance"]["withdrawn_items"] for answer in after} == {1}

    explained = recstream(topics_created, "explain", "1")
    assert f"withdrawn: 1 items of {version} are in no answer" in explained.stdout, explained

    until = time.time() + 2
    shop.send(CatalogueItem(8, available_until=until))
    wait_until(lambda: time.time() >= until, 5, "the end of item 8")
    seconds = shop.seconds_until_gone([7, 8], until)
    figure(f"gone {seconds:.2f} s after available_until")
    assert seconds <= BAR_SECONDS

    client.produce(client.topics.items, b"garbage", b"9")
    client.produce(client.topics.items, encode(CatalogueItem(9, withdrawn=True)), b"wrong key")
    shop.send(CatalogueItem(7, "Seven"))
    client.produce(client.topics.items, None, key_of(8))
    shop.wait_until_shown(7)
    shop.wait_until_shown(8)
    for worker in workers:
        text = worker.fetch("/metrics").text
        topic = client.topics.items.name
        for reason in ("malformed", "invalid"):
            assert f'dead_letters_total{{reason="{reason}",topic="{topic}"}} 1.0' in text
        wait_until(lambda at=worker: items_seen(at) == (1, 0), 5, "one item to be known")

    since = time.time()
    shop.send(CatalogueItem(7, "Seven", withdrawn=True))
    assert shop.seconds_until_gone([7], since) <= BAR_SECONDS
    assert workers[0].stop() == 0
    restarted = start_worker(topics_created, "again").wait_ready()
    found = wait_until(
        lambda: [answer for answer in shop.answers() if answer["provenance"]["worker"] == "again"],
        30,
        "answers of the worker that was started again",
    )
    assert not [answer for answer in found if 7 in shown(answer)]
    assert not [a for several in client.answers.values() for a in several if is_late(a)]
    assert restarted.get("/readyz")["ready"]


def recstream(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    environment = without(os.environ) | environment_of(settings) | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "ops.cli.main", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def items_seen(worker: Worker) -> tuple[int, int]:
    """Return how many items a worker knows, and how many of them are withdrawn."""
    values = dict(
        line.split(" ", 1)
        for line in worker.fetch("/metrics").text.splitlines()
        if line.startswith("catalogue_")
    )
    return (
        int(float(values["catalogue_items"])),
        int(float(values["catalogue_withdrawn_items"])),
    )


def is_late(answer: dict[str, Any]) -> bool:
    return answer["provenance"]["worker"] == "again" and 7 in shown(answer)


def test_a_worker_of_a_deployment_without_an_items_topic_starts_and_says_so(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    items = topics_of(topics_created).items.name
    admin = AdminClient(client_config(topics_created))
    admin.delete_topics([items])[items].result(10)
    wait_until(lambda: items not in admin.list_topics(timeout=5).topics, 15, "the topic to go")
    (complaint,) = check_topics(topics_created)
    assert items in complaint
    version = publish_model(topics_created)
    worker = start_worker(topics_created).wait_ready()
    assert client.command(type="swap", model_version=version)["status"] == "applied"
    assert "items_topic_missing" in [notice["code"] for notice in worker.get("/readyz")["notices"]]
    assert items not in admin.list_topics(timeout=10).topics

    assert create_topics(topics_created) == [items]
    wait_until(lambda: not worker.get("/readyz")["notices"], 20, "the topic to be followed")
    Shop(client).send(CatalogueItem(7, withdrawn=True))
    wait_until(lambda: items_seen(worker) == (1, 1), 10, "the item to be withdrawn")

    admin.delete_topics([items])[items].result(10)
    wait_until(lambda: items not in admin.list_topics(timeout=5).topics, 15, "the topic to go")
    assert create_topics(topics_created) == [items]
    for item in (CatalogueItem(8), CatalogueItem(9), CatalogueItem(10, withdrawn=True)):
        Shop(client).send(item)
    wait_until(lambda: items_seen(worker) == (3, 1), 30, "the new topic to be read")
