"""The retrain agent in a fleet: trains, announces, swaps; and lets no bad model in."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from harness.client import Client
from harness.fresh import OPEN_GATE, publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from registry.settings import Settings
from registry.versions.manifest import digest
from registry.versions.store import Store
from registry.wire.codec import encode
from tests.unit.training.builders import checkerboard_events
from training.runs.training_lock import training_lock

Start = Callable[..., Worker]

UNUSABLE = (
    b'{"user_id": 1, "item_id": 2, "event": "view"}',
    b'{"user_id": 1, "item_id": 2, "event": "purchase"}',
    b'{"user_id": 1, "item_id": 2, "event": "rate"}',
    b'{"user_id": 404, "event": "forget"}',
    b'{"user_id": 405, "item_id": 2, "event": "watch"}',
    b'{"user_id": 405, "event": "forget"}',
)
TAKEOVER_SECONDS = 45.0
"""Longer than the session of a training that was stopped."""

LEFT_OUT = {"forget_of_nobody": 1, "forgotten": 1, "no_rating": 1, "no_weight": 2}


@pytest.fixture
def quick(topics_created: Settings) -> Settings:
    """Settings of a fleet whose session is short, so that a dead owner is replaced soon."""
    return topics_created.model_copy(update=OPEN_GATE | {"session_timeout": 6.0})


def ingest(client: Client) -> None:
    for event in checkerboard_events():
        client._produce(client.topics.interactions, str(event.user_id).encode(), encode(event))
    client.flush()


def joined(worker: Worker) -> bool:
    """Tell whether the worker has read the rollout table, with or without a version in it."""
    try:
        reasons = worker.get("/readyz")["reasons"]
    except (OSError, HTTPException):
        return False
    return all(reason["code"] == "no_version" for reason in reasons)


def fleet(settings: Settings, start_worker: Start, size: int = 2) -> Sequence[Worker]:
    workers = [start_worker(settings) for _ in range(size)]
    wait_until(lambda: all(joined(worker) for worker in workers), 60, "the fleet to join")
    return workers


def finished_run(worker: Worker, run_id: str, seconds: float = 90) -> dict[str, Any]:
    def result() -> Any:
        run = worker.get("/training")
        return run if run and run["run_id"] == run_id and run.get("result") else None

    return dict(wait_until(result, seconds, f"training run {run_id} to end, as {worker} tells it"))


def stage_seconds_in(worker: Worker) -> dict[str, float]:
    """Return what the metrics say of each stage of the last run."""
    found = re.findall(
        r'^training_seconds\{stage="(\w+)"\} (\S+)$', worker.fetch("/metrics").text, re.MULTILINE
    )
    return {stage: float(seconds) for stage, seconds in found}


def retrain(client: Client, **fields: Any) -> str:
    result = client.command(type="retrain", **fields)
    assert result["status"] == "applied", result
    return str(result["command_id"])


def owner_of(workers: Sequence[Worker]) -> Worker:
    def owner() -> Worker | None:
        alive = [worker for worker in workers if worker.process.poll() is None]
        owners = [worker for worker in alive if worker.get("/rollout/status")["owns_control"]]
        return owners[0] if len(owners) == 1 else None

    return wait_until(owner, 40, "one owner of the control partition")


def training_child(worker: Worker) -> int | None:
    """Return the process id of the worker's training child."""
    children = Path(f"/proc/{worker.process.pid}/task")
    for task in children.iterdir():
        for pid in (task / "children").read_text().split():
            if b"training" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    return None


def test_a_fleet_learns_swaps_and_answers_with_the_new_version(
    client: Client, quick: Settings, start_worker: Start
) -> None:
    workers = fleet(quick, start_worker)
    client.send([{"request_id": "early", "user_id": 1}])
    early = client.wait_for(["early"])["early"][0]
    assert early["error"]["code"] == "no_version"
    ingest(client)
    for unusable in UNUSABLE:
        client._produce(client.topics.interactions, b"1", unusable)
    client.flush()
    run_id = retrain(client, iterations=5)
    for worker in workers:
        run = finished_run(worker, run_id)
        assert run["result"]["status"] == "published", run
        worker.wait_ready()
        assert run["result"]["snapshot"]["unusable"] == LEFT_OUT
        page = worker.fetch("/").text
        reasons = "2 no_weight, 1 forget_of_nobody, 1 forgotten, 1 no_rating"
        assert f"5 records could not be used: {reasons}" in page
        assert "1 <code>forget</code> events met no user, so nothing was forgotten" in page
    manifest = Store(client.settings.model_registry).manifest("v0.1")
    assert manifest.data_snapshot.unusable == LEFT_OUT
    (trainer,) = (worker for worker in workers if worker.name == run["worker"])
    for reason, count in LEFT_OUT.items():
        line = f'training_unusable_interactions{{reason="{reason}"}} {count}.0'
        assert line in trainer.fetch("/metrics").text
    stages = stage_seconds_in(trainer)
    assert stages.keys() == run["result"]["stage_seconds"].keys()
    assert all(0 <= seconds < 60 for seconds in stages.values()), stages
    client.send([{"request_id": "late", "user_id": checkerboard_events()[0].user_id}])
    late = client.wait_for(["late"])["late"][0]
    assert (late["model_version"], late["source"]) == ("v0.1", "model")
    assert late["provenance"]["data_snapshot"] == run["result"]["snapshot"]["id"]
    state = workers[0].get("/rollout/status")["state"]
    assert state["updated_by"].startswith("retrain@")
    assert "recommend_latency_seconds_bucket" in "".join(
        worker.fetch("/metrics").text for worker in workers
    )
    second = retrain(client, iterations=6, deploy="canary")
    run = finished_run(workers[1], second)
    assert run["announced"] == "rollout"
    assert run["result"]["snapshot"]["unusable"] == LEFT_OUT  # what 405 lost is erased by now
    wait_until(
        lambda: workers[1].get("/rollout/status")["state"]["canary_version"] == "v0.2", 20, "v0.2"
    )


def test_a_training_that_is_refused_changes_nothing_and_tells_every_worker_why(
    client: Client, quick: Settings, start_worker: Start
) -> None:
    version = publish_model(quick)
    workers = fleet(quick, start_worker)
    before = workers[0].get("/rollout/status")["state"]
    run_id = retrain(client)
    for worker in workers:
        run = finished_run(worker, run_id)
        assert run["result"]["status"] in ("refused", "failed")
        assert run["result"]["reason"]
        assert "announced" not in run
    assert Store(quick.model_registry).versions() == [version]
    assert workers[0].get("/rollout/status")["state"] == before
    client.send([{"request_id": "still", "user_id": 1}])
    assert client.wait_for(["still"])["still"][0]["model_version"] == version


def test_a_damaged_version_is_refused_by_name_and_what_is_served_stays(
    client: Client, quick: Settings, start_worker: Start
) -> None:
    served, damaged = publish_model(quick), publish_model(quick, seed=1)
    swapped_in = publish_model(quick, seed=2)
    folder = Path(quick.model_registry)
    target = next((folder / damaged).glob("als/item_factors.npy"))
    payload = bytearray(target.read_bytes())
    payload[-1] ^= 1
    target.write_bytes(payload)
    (worker,) = fleet(quick.model_copy(update={"model_version": served}), start_worker, 1)
    refused = client.command(type="swap", model_version=damaged)
    assert (refused["status"], refused["error"]["code"]) == ("rejected", "unusable_version")
    assert "item_factors.npy" in refused["error"]["message"]
    assert worker.get("/rollout/status")["state"]["primary_version"] == served
    assert client.command(type="swap", model_version=swapped_in)["status"] == "applied"

    shutil.rmtree(folder / served)  # it stays in memory: one can go back to it, and not choose it
    refused = client.command(type="swap", model_version=served)
    assert (refused["status"], refused["error"]["code"]) == ("rejected", "unusable_version")
    assert client.command(type="rollback")["status"] == "applied"
    client.send([{"request_id": "back", "user_id": 1}])
    assert client.wait_for(["back"])["back"][0]["model_version"] == served


def test_a_killed_training_leaves_the_fleet_serving_and_says_so(
    client: Client, quick: Settings, start_worker: Start
) -> None:
    workers = fleet(quick.model_copy(update={"retrain_niceness": 19}), start_worker)
    ingest(client)
    run_id = retrain(client, iterations=1000, factors=2048)
    busy = client.command(type="retrain")
    assert (busy["status"], busy["error"]["code"]) == ("rejected", "training_running")
    owner = owner_of(workers)
    wait_until(lambda: stage_of(owner) == "fit", 40, "the fit")
    child = training_child(owner)
    assert child is not None
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, child) == min(own + 19, 19)
    assert os.sched_getscheduler(child) == os.SCHED_IDLE
    os.kill(child, signal.SIGKILL)
    run = finished_run(workers[1], run_id)
    assert (run["result"]["status"], run["result"]["code"]) == ("failed", "died")
    assert "SIGKILL" in run["result"]["reason"]
    assert Store(quick.model_registry).versions() == []
    assert finished_run(owner, retrain(client, iterations=3))["result"]["status"] == "published"


def test_a_training_ends_with_its_worker_and_the_next_owner_starts_it_anew(
    client: Client, quick: Settings, start_worker: Start
) -> None:
    workers = fleet(quick, start_worker)
    ingest(client)
    run_id = retrain(client, iterations=1000, factors=2048)
    owner = owner_of(workers)
    wait_until(lambda: stage_of(owner) == "fit", 40, "the fit")
    child = training_child(owner)
    owner.kill()
    wait_until(lambda: not Path(f"/proc/{child}/cmdline").exists(), 10, "the child to end as well")
    next_owner = owner_of(workers)
    wait_until(
        lambda: (next_owner.get("/training") or {})["run_id"] == f"{run_id}-again", 60, "a new run"
    )
    ended = client.result_of(f"ended-{digest(run_id.encode())[:32]}")
    assert (ended["type"], ended["error"]["code"]) == ("training", "worker_lost")
    wait_until(lambda: stage_of(next_owner) == "fit", 60, "the fit of the same command")
    again = training_child(next_owner)
    assert again is not None
    assert b"2048" in Path(f"/proc/{again}/cmdline").read_bytes()
    os.kill(again, signal.SIGKILL)
    assert finished_run(next_owner, f"{run_id}-again")["result"]["code"] == "died"
    assert Store(quick.model_registry).versions() == []
    finished = finished_run(next_owner, retrain(client, iterations=3))
    assert finished["result"]["status"] == "published"
    assert Store(quick.model_registry).versions() == ["v0.1"]


@pytest.mark.long
def test_a_training_that_has_lost_its_lock_is_tried_again_and_publishes(
    client: Client, quick: Settings, start_worker: Start
) -> None:
    (worker,) = fleet(quick, start_worker, 1)
    ingest(client)
    run_id = retrain(client, iterations=1000, factors=512)
    wait_until(lambda: stage_of(worker) == "fit", 60, "the fit")
    child = training_child(worker)
    assert child is not None
    os.kill(child, signal.SIGSTOP)
    with training_lock(quick, TAKEOVER_SECONDS):  # Kafka has given its session up
        os.kill(child, signal.SIGCONT)
        ended = client.result_of(f"ended-{digest(run_id.encode())[:32]}", 60)
        assert (ended["type"], ended["error"]["code"]) == ("training", "lost_lock")
    again = finished_run(worker, f"{run_id}-again", 180)
    assert (again["result"]["status"], again["repeats"]) == ("published", run_id)
    assert Store(quick.model_registry).versions() == ["v0.1"]


DIES_BEFORE_THE_RUN = """
import asyncio, os
from registry.settings import read_settings
from streams.retraining.retrain_agent import RetrainAgent
from streams.worker import run_worker
def start(agent, command):
    agent._known.add(command.command_id)
    asyncio.get_running_loop().call_later(3, os._exit, 9)
RetrainAgent.start = start
run_worker(read_settings(os.environ))
"""


def test_a_command_whose_owner_dies_before_its_run_begins_is_carried_out_by_the_next_one(
    client: Client, quick: Settings, start_worker: Start
) -> None:
    first = start_worker(quick, arguments=("-c", DIES_BEFORE_THE_RUN))
    wait_until(lambda: joined(first), 60, "the first worker to join")
    ingest(client)
    run_id = retrain(client, iterations=3)
    assert first.process.wait(20) == 9
    (second,) = fleet(quick, start_worker, 1)
    run = finished_run(second, run_id)
    assert (run["result"]["status"], run["worker"]) == ("published", second.name)


def test_a_training_beyond_its_memory_or_its_time_says_so_wherever_one_looks(
    client: Client, quick: Settings, start_worker: Start
) -> None:
    (worker,) = fleet(quick.model_copy(update={"retrain_memory_bytes": 10**7}), start_worker, 1)
    ingest(client)
    run_id = retrain(client)
    assert ended(client, worker, run_id, "out_of_memory").endswith(
        "more than RETRAIN_MEMORY_BYTES=10000000"
    )
    worker.stop()
    (worker,) = fleet(quick.model_copy(update={"retrain_timeout": 0.2}), start_worker, 1)
    run_id = retrain(client)
    assert "RETRAIN_TIMEOUT=0.2" in ended(client, worker, run_id, "timeout")
    assert Store(quick.model_registry).versions() == []


def ended(client: Client, worker: Worker, run_id: str, code: str) -> str:
    """Check the run's end on the page, in the metrics and in the trail; return the reason."""
    result = finished_run(worker, run_id)["result"]
    assert (result["status"], result["code"]) == ("failed", code)
    assert f'training_runs_total{{status="{code}"}} 1.0' in worker.fetch("/metrics").text
    end_record = client.result_of(f"ended-{digest(run_id.encode())[:32]}")
    assert end_record["error"] == {"code": code, "message": result["reason"]}
    return str(result["reason"])


def test_a_timer_skips_its_run_until_enough_is_new(
    client: Client, quick: Settings, start_worker: Start
) -> None:
    ingest(client)
    timed = {"retrain_interval": 3.0, "retrain_iterations": 3, "retrain_min_new_interactions": 10}
    (worker,) = fleet(quick.model_copy(update=timed), start_worker, 1)
    worker.wait_ready(90)
    skipped = wait_until(lambda: result_with(worker, "too_few_new"), 30, "a skipped run")
    assert skipped["reason"].startswith("skipped: 0 new records since the last run")
    assert Store(quick.model_registry).versions() == ["v0.1"]
    ingest(client)
    wait_until(lambda: Store(quick.model_registry).versions()[-1] != "v0.1", 60, "a second version")


def result_with(worker: Worker, code: str) -> Any:
    result = (worker.get("/training") or {}).get("result") or {}
    return result if result.get("code") == code else None


def stage_of(worker: Worker) -> str | None:
    run = worker.get("/training")
    return None if run is None else str(run.get("stage"))


def test_the_timer_starts_a_run_by_itself(
    client: Client, quick: Settings, start_worker: Start
) -> None:
    ingest(client)
    timed = quick.model_copy(update={"retrain_interval": 3.0, "retrain_iterations": 3})
    workers = fleet(timed, start_worker)
    for worker in workers:
        worker.wait_ready(90)
    run = workers[0].get("/training")
    assert run["requested_by"].startswith("timer@")
