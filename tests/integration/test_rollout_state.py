"""Every worker acts on the same rollout state: three worker processes on real Kafka."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client
from harness.fresh import publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from registry.settings import Settings
from streams.kafka.faust_workarounds import ROLLOUT_TABLE_OPTIONS

COMMANDS = 100
BOUND_SECONDS = 2.0
USERS = range(1, 25)
"""Enough users that every worker answers some."""

READS_THE_TABLE = """
import os
import streams.app
from registry.settings import read_settings
from streams.state.rollout_table import RolloutTable
from streams.worker import run_worker

class TableReader(RolloutTable):
    'The obvious implementation: the state is what the table holds; nobody hears its changelog.'
    @property
    def recovered(self):
        for key in ("log", "lease"):
            value = self._table.get(key)
            if value is not None:
                self._offer(key, value)
        return super().recovered

    async def _on_changelog_event(self, event):
        pass

streams.app.RolloutTable = TableReader
run_worker(read_settings(os.environ), table_options=%s)
"""

FAUST_DEFAULTS = {"partitions": 1, "use_partitioner": True}

Start = Callable[..., Worker]


@pytest.fixture
def fleet_settings(topics_created: Settings) -> Settings:
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    return topics_created.model_copy(update={"session_timeout": 6.0, "lease_seconds": 20.0})


def epoch_of(worker: Worker) -> int:
    try:
        acting = worker.get("/rollout/status")["acting_epoch"]
    except (OSError, HTTPException):
        return -1
    return -1 if acting is None else int(acting)


def change(client: Client, percentage: int) -> int:
    """Issue one command and return its epoch."""
    result = client.command(
        type="rollout", strategy="canary", canary_version="v0.1", canary_percentage=percentage
    )
    assert result["status"] == "applied", result
    return int(result["epoch"])


def wait_until_all_act_on(epoch: int, workers: Sequence[Worker], seconds: float) -> None:
    wait_until(
        lambda: all(epoch_of(worker) >= epoch for worker in workers),
        seconds,
        f"{[worker.name for worker in workers]} to act on epoch {epoch}",
    )


def ask(client: Client, tag: str) -> list[dict[str, Any]]:
    ids = {f"{tag}-{user}": user for user in USERS}
    client.send({"request_id": request_id, "user_id": user} for request_id, user in ids.items())
    answers = client.wait_for(ids)
    return [answer for several in answers.values() for answer in several]


def assert_no_epoch_goes_back(client: Client) -> None:
    """Per worker and partition (a user is always in the same one), in the order of the answers."""
    last: dict[tuple[str, Any], int] = {}
    for several in client.answers.values():
        for answer in several:
            source = answer["provenance"]
            key = (source["worker"], answer["user_id"])
            assert source["rollout_epoch"] >= last.get(key, -1), (key, answer, last[key])
            last[key] = source["rollout_epoch"]


def test_100_commands_reach_three_workers_within_two_seconds_each(
    client: Client, fleet_settings: Settings, start_worker: Start, figure: Callable[[str], None]
) -> None:
    workers = [start_worker(fleet_settings) for _ in range(3)]
    for worker in workers:
        worker.wait_ready()
    delays = []
    for number in range(COMMANDS):
        posted_at = time.monotonic()
        epoch = change(client, number % 101)
        wait_until_all_act_on(epoch, workers, 10)
        delays.append(time.monotonic() - posted_at)
        if number % 10 == 0:
            answers = ask(client, f"c{number}")
            assert min(answer["provenance"]["rollout_epoch"] for answer in answers) >= epoch
            assert {answer["provenance"]["worker"] for answer in answers} == {"w1", "w2", "w3"}
    delays.sort()
    p99 = delays[int(COMMANDS * 0.99) - 1]
    figure(f"command to all three workers: median {delays[50]:.3f} s, p99 {p99:.3f} s")
    assert p99 <= BOUND_SECONDS
    assert_no_epoch_goes_back(client)
    states = [worker.get("/rollout/status")["state"] for worker in workers]
    assert states[0] == states[1] == states[2]


def swap_beside_a_worker_that_reads_the_table(
    client: Client, settings: Settings, start_worker: Start, options: dict[str, Any]
) -> None:
    program = {"arguments": ("-c", READS_THE_TABLE % options)}
    owner = start_worker(settings, **program)
    wait_until(lambda: owns_control(owner), 60, "an owner")
    workers = [owner, start_worker(settings, **program)]
    wait_until(lambda: all(holds_partitions(worker) for worker in workers), 60, "both to join")
    for number in range(4):
        wait_until_all_act_on(swap(client, f"v0.{number % 2 + 1}"), workers, 4)


def test_with_our_table_options_a_command_reaches_the_table_of_every_worker(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    swap_beside_a_worker_that_reads_the_table(
        client, fleet_settings, start_worker, ROLLOUT_TABLE_OPTIONS
    )


def test_with_fausts_default_table_options_it_never_does(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    """The negative control of the tests in this file."""
    with pytest.raises(AssertionError, match="to act on epoch"):
        swap_beside_a_worker_that_reads_the_table(
            client, fleet_settings, start_worker, FAUST_DEFAULTS
        )


def swap(client: Client, version: str) -> int:
    """Swap and return the epoch."""
    result = client.command(seconds=60, type="swap", model_version=version)
    assert result["status"] == "applied", result
    return int(result["epoch"])


def owns_control(worker: Worker) -> bool:
    try:
        return bool(worker.get("/rollout/status")["owns_control"])
    except (OSError, HTTPException):
        return False


def holds_partitions(worker: Worker) -> bool:
    try:
        return "consumer_lag{" in worker.fetch("/metrics").text
    except (OSError, HTTPException):
        return False


def owner_of(workers: Sequence[Worker]) -> Worker:
    return wait_until(
        lambda: next((worker for worker in workers if owns_control(worker)), None), 30, "an owner"
    )


def steady_changes(client: Client, count: int) -> Iterator[int]:
    for number in itertools.islice(itertools.cycle(range(101)), count):
        yield change(client, number)


def test_the_control_owners_death_delays_commands_and_loses_none(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    workers = [start_worker(fleet_settings) for _ in range(3)]
    for worker in workers:
        worker.wait_ready()
    for epoch in steady_changes(client, 5):
        wait_until_all_act_on(epoch, workers, 10)
    owner = owner_of(workers)
    posted = [
        client.post_command(
            type="rollout", strategy="canary", canary_version="v0.1", canary_percentage=percentage
        )
        for percentage in range(10)
    ]
    owner.kill()
    posted += [client.post_command(type="rollout", canary_percentage=99)]
    results = [client.result_of(command_id, 60) for command_id in posted]
    assert [result["status"] for result in results] == ["applied"] * len(posted)
    survivors = [worker for worker in workers if worker is not owner]
    late = start_worker(fleet_settings, "late").wait_ready()
    wait_until_all_act_on(results[-1]["epoch"], [*survivors, late], 30)
    states = [worker.get("/rollout/status")["state"] for worker in (*survivors, late)]
    assert states[0] == states[1] == states[2]
    assert states[0]["canary_percentage"] == 99
    ask(client, "after")
    assert_no_epoch_goes_back(client)


def test_a_worker_that_was_paused_says_that_it_lost_touch_and_then_catches_up(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    workers = [start_worker(fleet_settings) for _ in range(3)]
    for worker in workers:
        worker.wait_ready()
    change(client, 50)
    paused = owner_of(workers)
    others = [worker for worker in workers if worker is not paused]
    paused.pause()
    pause_ends = time.monotonic() + 25
    before = client.post_command(type="rollout", canary_percentage=51)
    epoch = int(client.result_of(before, 60)["epoch"])
    wait_until_all_act_on(epoch, others, 10)
    asked = 0
    while time.monotonic() < pause_ends:
        asked += 1
        ask(client, f"paused{asked}")
    paused.resume()
    wait_until(lambda: current_or_not_ready(paused, epoch), 30, "the woken worker to catch up")
    paused.wait_ready()
    epoch = change(client, 52)
    wait_until_all_act_on(epoch, workers, 10)
    ask(client, "woken")
    for several in client.answers.values():
        for answer in several:
            stale = answer["provenance"]["rollout_epoch"] < epoch - 1
            if answer["request_id"].startswith(("paused", "woken")) and stale:
                assert answer["fallback_reason"] == "rollout_lease_expired", answer
    assert_no_epoch_goes_back(client)
    states = [worker.get("/rollout/status")["state"] for worker in workers]
    assert states[0] == states[1] == states[2]


def current_or_not_ready(worker: Worker, epoch: int) -> bool:
    """Fail if the worker calls itself ready with an older state; tell whether it caught up."""
    acting = epoch_of(worker)
    reasons = worker.get("/readyz")["reasons"]
    if acting < epoch:
        codes = {reason["code"] for reason in reasons}
        assert codes & {"rollout_lease_expired", "recovering", "version_not_ready"}, reasons
    return acting >= epoch


READS_SLOWLY = """
import os, pathlib, time
from registry.settings import read_settings
from registry.versions.store import Store
from streams.worker import run_worker

def slow(act, name, seconds):
    def acts_slowly(store, version):
        pathlib.Path(name).touch()
        time.sleep(seconds)  # a large version on a slow disk
        return act(store, version)
    return acts_slowly

Store.verify = slow(Store.verify, "verifying", 3)
Store.open = slow(Store.open, "opening", %d)
run_worker(read_settings(os.environ))
"""


def test_a_command_that_its_owner_was_deciding_when_it_was_stopped_is_decided_by_the_next_one(
    client: Client, fleet_settings: Settings, start_worker: Start, tmp_path: Path
) -> None:
    seeded = fleet_settings.model_copy(update={"model_version": "v0.2"})
    first = start_worker(seeded, "slow", arguments=("-c", READS_SLOWLY % 0)).wait_ready()
    (tmp_path / "verifying").unlink()
    command = client.post_command(type="swap", model_version="v0.1")
    wait_until((tmp_path / "verifying").exists, 15, "the command to be looked at")
    assert first.stop() == 0
    assert command not in client.results
    start_worker(seeded, "next").wait_ready()
    assert client.result_of(command)["status"] == "applied"


def test_a_worker_that_is_reading_a_version_when_it_is_told_to_end_does_not_wait_for_it(
    fleet_settings: Settings, start_worker: Start, tmp_path: Path
) -> None:
    worker = start_worker(fleet_settings, "slow", arguments=("-c", READS_SLOWLY % 600))
    wait_until((tmp_path / "opening").exists, 30, "the version to be read")
    assert worker.stop() == 0
