"""The release before and this one in one fleet: rolled over and rolled back, under traffic.

What a release promises to its predecessor: ADR 8. Its wheel: `tests/predecessor/README.md`.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client
from harness.fresh import publish_model
from harness.ramps import a_plan, end_of, start_ramp
from harness.traffic import Traffic
from harness.waiting import wait_until
from harness.workers import ROOT, Worker

from registry.kafka.topic_upkeep import mend_topics
from registry.settings import Settings

Start = Callable[..., Worker]
LEASE_SECONDS = 8.0
USERS = range(1, 501)


@pytest.fixture
def start_old(start_worker: Start, tmp_path: Path) -> Start:
    """Start ``start_old(settings, name)`` as a worker of the release before."""
    folder = tmp_path / "predecessor"
    (wheel,) = (ROOT / "tests/predecessor").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return lambda settings, name: start_worker(
        settings,
        name,
        arguments=("-m", "ops.cli", "worker"),
        variables={"PYTHONPATH": str(folder)},
    )


def acts_on(worker: Worker, epoch: int) -> bool:
    try:
        return bool(worker.get("/rollout/status")["acting_epoch"] == epoch)
    except (OSError, HTTPException):
        return False


def owner_of(workers: Sequence[Worker]) -> Worker:
    def owner() -> Worker | None:
        owners = [worker for worker in workers if worker.get("/rollout/status")["owns_control"]]
        return owners[0] if len(owners) == 1 else None

    return wait_until(owner, 30, "an owner of the control partition")


def assert_it_works(client: Client, workers: Sequence[Worker], version: str) -> None:
    """All workers obey a command, know one another, and are in touch for longer than a lease."""
    result = client.command(30, type="swap", model_version=version)
    assert result["status"] == "applied", result
    wait_until(
        lambda: all(acts_on(worker, result["epoch"]) for worker in workers),
        10,
        f"{workers} to act on epoch {result['epoch']}",
    )
    names = {worker.name for worker in workers}
    for worker in workers:
        worker.wait_ready(20)
        wait_until(lambda of=worker: live(of) == names, 15, f"{worker} to know {names}")
    since = time.time()
    while time.time() < since + LEASE_SECONDS + 2:
        for worker in workers:
            reasons = worker.get("/readyz")["reasons"]  # a rebalance may be under way
            assert {reason["code"] for reason in reasons} <= {"recovering"}, (worker, worker.tail())
        wait_for_beat(client)
    for worker in workers:
        worker.wait_ready(20)


def live(worker: Worker) -> set[str]:
    rows: list[dict[str, Any]] = worker.get("/fleet")["workers"]
    return {row["heartbeat"]["worker"] for row in rows if row["presence"] == "live"}


def wait_for_beat(client: Client) -> None:
    at = max(heartbeat.at for heartbeat in client.fleet.values())
    wait_until(
        lambda: max(heartbeat.at for heartbeat in client.fleet.values()) > at, 5, "a heartbeat"
    )


def test_a_fleet_is_rolled_over_to_this_release_and_back_and_loses_no_request(
    client: Client, topics_created: Settings, start_worker: Start, start_old: Start
) -> None:
    for _ in range(2):
        publish_model(topics_created, users=len(USERS), mergeable=True)
    settings = topics_created.model_copy(
        update={"model_version": "v0.1", "lease_seconds": LEASE_SECONDS}
    )
    old = [start_old(settings, f"old{number}") for number in (1, 2)]
    for worker in old:
        worker.wait_ready()
    with Traffic(client, USERS, 100) as traffic:
        new = [start_worker(settings, "new1").wait_ready()]
        assert owner_of([*old, *new]) in old
        assert_it_works(client, [*old, *new], "v0.2")
        assert old.pop().stop() == 0
        new.append(start_worker(settings, "new2").wait_ready())
        assert old.pop().stop() == 0
        mend_topics(settings)
        assert_it_works(client, new, "v0.1")
        old.append(start_old(settings, "old3").wait_ready())
        assert owner_of([*old, *new]) in new
        assert_it_works(client, [*old, *new], "v0.2")
        refused = client.command(type="rollout", strategy="interleave", canary_version="v0.1")
        assert refused["error"]["code"] == "older_workers", refused
        end = end_of(client, start_ramp(client, "v0.1", a_plan([50, 100])), 60)
        assert end["after"]["ramp"]["outcome"] == "promoted", end
        assert new.pop().stop() == 0
        old.append(start_old(settings, "old4").wait_ready())
        assert new.pop().stop() == 0
        assert_it_works(client, old, "v0.2")
        answers = traffic.answers()
    assert {answer["status"] for answer in answers} == {"ok"}
    reasons = {answer.get("fallback_reason") for answer in answers}
    assert "rollout_lease_expired" not in reasons, reasons


def test_the_release_before_sets_aside_requests_without_a_user_and_goes_on(
    client: Client, topics_created: Settings, start_old: Start
) -> None:
    publish_model(topics_created, users=len(USERS))
    start_old(topics_created, "old").wait_ready()

    client.send(
        [
            b'{"request_id":"nobody","items":[{"item_id":3}]}',
            {"request_id": "asks-for-more", "user_id": 7, "like": [3], "explain": True},
        ]
    )

    (answer,) = client.wait_for(["asks-for-more"])["asks-for-more"]
    assert answer["source"] == "model"
    (letter,) = client.dead_letters(1)
    assert letter.value == b'{"request_id":"nobody","items":[{"item_id":3}]}'
    assert client.answers.keys() == {"asks-for-more"}
