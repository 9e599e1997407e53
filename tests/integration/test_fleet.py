"""Workers know one another, and no step begins before every live one of them is ready."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

from harness.client import Client
from harness.doctor_findings import doctor_findings
from harness.fresh import environment_of, fresh_settings, publish_model, without
from harness.ramps import a_plan, applied, end_of, start_ramp, wait_for_step
from harness.traffic import Traffic
from harness.waiting import wait_until
from harness.workers import ROOT, Worker

from registry.guardrails.live_workers import LIVE_SECONDS
from registry.kafka.topic_admin import check_topics, create_topics
from registry.settings import Settings

Start = Callable[..., Worker]
ONLY_ERRORS = {
    "fallback_rate": None,
    "empty_rate": None,
    "latency_ratio": None,
    "sample_ratio": False,
}
"""What a worker without the version answers is a fallback; here only readiness may hold a step."""


def presence(worker: Worker) -> dict[str, str]:
    """Return what `worker` says of the fleet: live, silent or stopped, by name."""
    try:
        rows = worker.get("/fleet")["workers"]
    except (OSError, HTTPException):
        return {}
    return {row["heartbeat"]["worker"]: row["presence"] for row in rows}


def owner_and_others(workers: Sequence[Worker]) -> tuple[Worker, list[Worker]]:
    owner = wait_until(
        lambda: next(
            (worker for worker in workers if worker.get("/rollout/status")["owns_control"]), None
        ),
        30,
        "an owner of the control partition",
    )
    return owner, [worker for worker in workers if worker is not owner]


def test_every_worker_shows_all_and_one_that_stops_or_dies_is_no_longer_waited_for(
    client: Client, topics_created: Settings, start_worker: Start, figure: Callable[[str], None]
) -> None:
    publish_model(topics_created)
    workers = [start_worker(topics_created) for _ in range(3)]
    for worker in workers:
        worker.wait_ready()
    everybody = {worker.name: "live" for worker in workers}
    for worker in workers:
        wait_until(lambda of=worker: presence(of) == everybody, 15, f"{worker} to see all")
    owner, (stopped, killed) = owner_and_others(workers)
    left_at = time.monotonic()
    assert stopped.stop() == 0
    for worker in (owner, killed):
        wait_until(
            lambda of=worker: presence(of).get(stopped.name) == "stopped",
            LIVE_SECONDS - 1,  # sooner than silence alone could tell
            f"{worker} to see {stopped} go",
        )
    figure(f"a stopped worker had left after {time.monotonic() - left_at:.1f} s")
    left_at = time.monotonic()
    killed.kill()
    wait_until(
        lambda: presence(owner).get(killed.name) == "silent", LIVE_SECONDS + 2, f"{killed} to go"
    )
    figure(f"a killed one after {time.monotonic() - left_at:.1f} s")
    wait_until(  # the death of the other one held up all heartbeats for a moment
        lambda: presence(owner).get(owner.name) == "live", LIVE_SECONDS, f"{owner} to be heard"
    )


def readiness(worker: Worker) -> Mapping[str, Any]:
    """Return what the barrier says of the ramp under way; nothing while there is none."""
    ramp = worker.get("/fleet")["ramp"] or {"findings": [], "moment": ""}
    found = {finding["guardrail"]: finding for finding in ramp["findings"]}
    return found.get("readiness", {"verdict": "", "message": ""}) | {"moment": ramp["moment"]}


def wait_until_it_blocks(worker: Worker, name: str, why: str) -> None:
    """Return once the step is due, and waits for `name` alone, because of `why`."""
    message = f"v0.2 is not ready on {name} ("

    def blocks() -> bool:
        seen = readiness(worker)
        blocked = seen["moment"] == "due" and seen["verdict"] == "inconclusive"
        return blocked and seen["message"].startswith(message) and why in seen["message"]

    try:
        wait_until(blocks, 30, f"the step to wait for {name}")
    except AssertionError as error:
        raise AssertionError(f"{error}; readiness: {readiness(worker)}") from None


def heard_again(client: Client, times: int) -> None:
    """Return when each live worker has sent so many more heartbeats, and the owner has looked."""
    since = time.time()
    wait_until(
        lambda: all(
            heartbeat.at > since + times
            for heartbeat in client.fleet.values()
            if heartbeat.at > since - LIVE_SECONDS
        ),
        times + 10,
        f"{times} heartbeats",
    )


def copied(version: str, source: str, target: Path) -> None:
    """Copy a version, the manifest last, as the registry publishes."""
    shutil.copytree(
        Path(source) / version,
        target / version,
        ignore=shutil.ignore_patterns("meta.json"),
        dirs_exist_ok=True,
    )
    shutil.copy(Path(source) / version / "meta.json", target / version)


def damage(folder: Path) -> None:
    path = next(folder.rglob("item_factors.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_worker_that_cannot_load_the_version_blocks_the_step_and_is_named_until_it_can(
    client: Client, topics_created: Settings, start_worker: Start, tmp_path: Path
) -> None:
    settings = topics_created.model_copy(update={"model_version": "v0.1"})
    for seed in (0, 0):
        publish_model(settings, users=500, seed=seed)
    without, broken = tmp_path / "without", tmp_path / "broken"
    for folder in (without, broken):
        copied("v0.1", settings.model_registry, folder)
    copied("v0.2", settings.model_registry, broken)
    damage(broken / "v0.2")
    owner = start_worker(settings, "owner").wait_ready()
    start_worker(settings, "blind", variables={"MODEL_REGISTRY": str(without)}).wait_ready()
    plan = a_plan([50, 100], patience_seconds=5, guardrails=ONLY_ERRORS)
    with Traffic(client, range(1, 501), 100) as traffic:
        ramp_id = start_ramp(client, "v0.2", plan)
        wait_until_it_blocks(owner, "blind", "v0.2")
        heard_again(client, 2)
        assert applied(client)[-1]["command_id"] == ramp_id
        copied("v0.2", settings.model_registry, without)
        wait_for_step(client, ramp_id, 50, 20)
        client.command(type="pause")
        start_worker(settings, "late", variables={"MODEL_REGISTRY": str(broken)}).wait_ready()
        resumed = client.command(type="resume")
        assert resumed["status"] == "applied", resumed
        wait_until_it_blocks(owner, "late", "item_factors.npy")
        assert "late could not load v0.2: " in doctor_findings(settings)["workers"]
        heard_again(client, 2)
        assert applied(client)[-1]["command_id"] == resumed["command_id"]
        end = end_of(client, ramp_id, 20)
        assert (end["type"], end["issued_by"]) == ("abort", "ramp")
        assert "v0.2 is not ready on late (" in end["reason"]  # its patience is over
        copied("v0.2", settings.model_registry, broken)
        again = end_of(client, start_ramp(client, "v0.2", plan), 20)
        assert again["after"]["ramp"]["outcome"] == "promoted", again
        assert {answer["status"] for answer in traffic.answers()} == {"ok"}


def counted(worker: Worker) -> int:
    """Return the requests that the fleet has counted under the present state, as `worker` sees."""
    try:
        return sum(arm["requests"] for arm in worker.get("/fleet")["arms"])
    except (OSError, HTTPException):
        return -1


def test_what_a_worker_counted_that_died_before_the_new_owner_started_is_evidence_still(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    settings = topics_created.model_copy(update={"model_version": "v0.1"})
    for _ in range(2):
        publish_model(settings, users=500)
    owner = start_worker(settings, "owner").wait_ready()
    killed = start_worker(settings, "killed").wait_ready()
    with Traffic(client, range(1, 501), 100) as traffic:
        ramp_id = start_ramp(
            client, "v0.2", a_plan([50, 100], min_requests=600, patience_seconds=180)
        )
        step = wait_for_step(client, ramp_id, 50, 20)
        traffic.wait_for_more(3)
        answers = traffic.answers()
    expected = sum(answer["provenance"]["rollout_epoch"] == step["epoch"] for answer in answers)
    wait_until(lambda: counted(owner) == expected, 5, f"{expected} requests to be counted")
    assert all(
        heartbeat.arms for heartbeat in client.fleet.values()
    )  # each of the two has counted some
    killed.kill()
    wait_until(lambda: presence(owner).get("killed") == "silent", LIVE_SECONDS + 2, "silence")
    late = start_worker(settings, "late").wait_ready()
    wait_until(  # the owner may have answered some again that the dead one had not acknowledged
        lambda: counted(late) == counted(owner) >= expected, 10, f"{late} to know what {owner} does"
    )
    owner.kill()
    end = end_of(client, ramp_id, 60)
    assert (end["type"], end["issued_by"]) == ("abort", "ramp")
    assert "2 of 3 fell silent without stopping: killed, owner" in end["reason"]
    assert late.get("/rollout/status")["owns_control"]


def test_workers_that_are_too_many_and_workers_of_one_name_are_named_everywhere(
    kafka: str, tmp_path: Path, start_worker: Start
) -> None:
    settings = fresh_settings(kafka, tmp_path, RECSTREAM_PARTITIONS="1")
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 60, "the topics to be there")
    publish_model(settings)
    twin = {"RECSTREAM_WORKER": "twin"}
    twins = [start_worker(settings, variables=twin).wait_ready() for _ in range(2)]
    for worker in twins:
        wait_until(lambda at=worker: notices(at) == {"idle_workers", "same_name"}, 20, "notices")
        worker.wait_ready(20)  # the second one's entry may still be under way
        page = worker.fetch("/").text
        assert "2 workers share 1 request partitions" in page
        assert "Idle: no request partition is assigned." in page
    command = [sys.executable, "-m", "ops.cli.main", "fleet"]
    environment = without(os.environ) | environment_of(settings) | {"COLUMNS": "200"}
    shown = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert "2 workers share 1 request partitions" in shown.stdout
    assert "more than one worker is called twin" in shown.stdout
    assert "ready, no partition" in shown.stdout
    found = doctor_findings(settings)["workers"]
    assert "twin: same_name: " in found
    assert "twin: idle_workers: " in found
    assert twins[1].stop() == 0
    wait_until(lambda: notices(twins[0]) == set(), 20, "the notices to be gone")


def notices(worker: Worker) -> set[str]:
    return {notice["code"] for notice in worker.get("/readyz")["notices"]}
