"""The rollout table's changelog: nothing periodic in it, and what is missing in it is mended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from harness.client import Client
from harness.fresh import publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from registry.connection.client_config import client_config
from registry.kafka.topics import changelog_of
from registry.settings import Settings

Start = Callable[..., Worker]
MENDED_SECONDS = 10.0

LOSES_A_CHANGE = """
import os
import streams.app
from registry.settings import read_settings
from streams.state.rollout_table import RolloutTable
from streams.worker import run_worker

class Forgetful(RolloutTable):
    'One change of the changelog never comes here, as after a rebalance at the wrong moment.'
    lost = None
    async def _on_changelog_event(self, event):
        if event.key == "log" and event.value["last_offset"] >= 2:
            lost = type(self).lost
            if lost is None or lost == event.message.offset:
                type(self).lost = event.message.offset
                return
        await super()._on_changelog_event(event)

streams.app.RolloutTable = Forgetful
run_worker(read_settings(os.environ))
"""


@pytest.fixture
def fleet_settings(topics_created: Settings) -> Settings:
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    return topics_created.model_copy(update={"model_version": "v0.1"})


def changelog(settings: Settings) -> list[Message]:
    """Return all records of the changelog."""
    place = TopicPartition(changelog_of(settings).name, 0, 0)
    consumer = Consumer(
        client_config(settings) | {"group.id": "test", "enable.partition.eof": True}
    )
    try:
        consumer.assign([place])
        found: list[Message] = []
        while True:
            message = consumer.poll(10)
            assert message is not None, "the end of the changelog did not come"
            if message.error() is not None:
                return found
            found.append(message)
    finally:
        consumer.close()


def offsets_of_logs(settings: Settings) -> list[int]:
    return [
        json.loads(record.value() or b"")["last_offset"]
        for record in changelog(settings)
        if record.key() == b'"log"'
    ]


def swap(client: Client, version: str) -> int:
    result = client.command(type="swap", model_version=version)
    assert result["status"] == "applied", result
    return int(result["epoch"])


def epoch_of(worker: Worker) -> Any:
    return worker.get("/rollout/status")["acting_epoch"]


def wait_until_all_act_on(epoch: int, workers: Sequence[Worker]) -> None:
    wait_until(
        lambda: {epoch_of(worker) for worker in workers} == {epoch},
        MENDED_SECONDS,
        f"epoch {epoch}",
    )


def beats(client: Client, count: int) -> None:
    """Return when each worker has sent so many more heartbeats."""
    since = time.time()
    wait_until(
        lambda: all(heartbeat.at > since + count for heartbeat in client.fleet.values()),
        count + 10,
        f"{count} heartbeats",
    )


def test_a_fleet_that_does_nothing_writes_nothing_to_the_changelog(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    for _ in range(2):
        start_worker(fleet_settings).wait_ready()
    before = [(record.key(), record.offset()) for record in changelog(fleet_settings)]
    beats(client, 8)
    assert [(record.key(), record.offset()) for record in changelog(fleet_settings)] == before
    assert {key for key, _ in before} == {b'"log"'}


def test_an_older_log_over_the_newest_is_mended_once_and_nobody_goes_back(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    workers = [start_worker(fleet_settings).wait_ready() for _ in range(2)]
    epochs = [swap(client, f"v0.{1 + number % 2}") for number in range(3)]
    wait_until_all_act_on(epochs[-1], workers)
    older = changelog(fleet_settings)[-2]
    producer = Producer(client_config(fleet_settings))  # what a former owner does that wakes up
    producer.produce(changelog_of(fleet_settings).name, older.value(), older.key(), partition=0)
    assert producer.flush(10) == 0
    wait_until(
        lambda: offsets_of_logs(fleet_settings)[-1] == epochs[-1],
        MENDED_SECONDS,
        "the newest log to be written again",
    )
    mended = offsets_of_logs(fleet_settings)
    assert mended[-3:] == [epochs[-1], epochs[-2], epochs[-1]]
    beats(client, 5)
    assert offsets_of_logs(fleet_settings) == mended
    assert [epoch_of(worker) for worker in workers] == [epochs[-1]] * 2
    late = start_worker(fleet_settings).wait_ready()
    assert epoch_of(late) == epochs[-1]


def test_a_worker_that_missed_a_change_gets_it_again(
    client: Client, fleet_settings: Settings, start_worker: Start, figure: Callable[[str], None]
) -> None:
    owner = start_worker(fleet_settings).wait_ready()
    forgetful = start_worker(fleet_settings, arguments=("-c", LOSES_A_CHANGE)).wait_ready()
    assert owner.get("/rollout/status")["owns_control"]
    epochs = [swap(client, "v0.2"), swap(client, "v0.1")]
    written_at = time.monotonic()
    assert epochs == [1, 2]
    wait_until(lambda: forgetful.get("/rollout/status")["acting_epoch"] == 1, 5, "the first one")
    wait_until_all_act_on(2, [owner, forgetful])
    figure(f"a change that was missed came after {time.monotonic() - written_at:.1f} s")
    beats(client, 5)
    assert offsets_of_logs(fleet_settings) == [0, 1, 2, 2]
    forgetful.wait_ready(5)
