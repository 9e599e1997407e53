"""A swap is invisible: no error, no lost answer, no version that its epoch does not name."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from harness.client import Client
from harness.fresh import publish_model
from harness.workers import Worker

from registry.settings import Settings

Start = Callable[..., Worker]
SWAPS = 20
PER_SECOND = 300
SECONDS = 20


def test_twenty_swaps_under_steady_traffic_go_unnoticed(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    versions = [publish_model(topics_created, seed=seed) for seed in (0, 1)]
    workers = [start_worker(topics_created) for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    ids: list[str] = []
    done = threading.Event()

    def keep_asking() -> None:
        started = time.monotonic()
        while not done.is_set() and len(ids) < PER_SECOND * SECONDS * 3:
            batch = [f"s{len(ids) + number}" for number in range(PER_SECOND // 20)]
            client.send(
                {"request_id": request_id, "user_id": len(ids) + number}
                for number, request_id in enumerate(batch)
            )
            ids.extend(batch)
            time.sleep(max(0.0, len(ids) / PER_SECOND - (time.monotonic() - started)))

    asking = threading.Thread(target=keep_asking)
    asking.start()
    state = workers[0].get("/rollout/status")["state"]
    primary_by_epoch = {state["epoch"]: state["primary_version"]}
    pace = threading.Event()
    for number in range(SWAPS):
        result = client.command(type="swap", model_version=versions[number % 2])
        assert result["status"] == "applied", result
        primary_by_epoch[result["epoch"]] = versions[number % 2]
        pace.wait(SECONDS / SWAPS)  # the pace of the operator, not a wait for something to happen
    done.set()
    asking.join()
    answers = [answer for several in client.wait_for(ids).values() for answer in several]
    assert len(answers) == len(ids)
    assert {answer["status"] for answer in answers} == {"ok"}
    for answer in answers:
        epoch = answer["provenance"]["rollout_epoch"]
        assert answer["model_version"] == primary_by_epoch[epoch], answer
    used = {answer["provenance"]["rollout_epoch"] for answer in answers}
    assert len(used) >= SWAPS  # every swap was seen by somebody
    assert {answer.get("fallback_reason") for answer in answers} <= {
        None, "unknown_user", "version_not_ready",
    }  # fmt: skip
