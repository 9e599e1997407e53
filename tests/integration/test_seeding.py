"""The environment seeds the rollout table once; commands are applied once, whoever restarts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from harness.client import Answer, Client
from harness.fresh import publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from registry.settings import Settings

Start = Callable[..., Worker]
WRITERS = 50


def ready(workers: Sequence[Worker]) -> Sequence[Worker]:
    for worker in workers:
        worker.wait_ready()
    return workers


def state_of(worker: Worker) -> Answer:
    state: Answer = worker.get("/rollout/status")["state"]
    return state


def test_workers_that_start_together_seed_once_and_a_restart_with_other_values_changes_nothing(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    for seed in (0, 1, 2):
        publish_model(topics_created, seed=seed)
    first = topics_created.model_copy(
        update={"model_version": "v0.1", "canary_version": "v0.2", "rollout_strategy": "ab_test"}
    )
    workers = [start_worker(first) for _ in range(2)]
    wait_until(lambda: len(client.trail) >= 2, 60, "both seeds")
    ready(workers)
    seeded = state_of(workers[0])
    assert (seeded["strategy"], seeded["updated_by"]) == ("ab_test", "environment")
    assert (seeded["primary_version"], seeded["canary_version"]) == ("v0.1", "v0.2")
    duplicated = client.post_command(type="rollout", canary_version="v0.3")
    assert client.result_of(duplicated)["status"] == "applied"
    changed = client.results[duplicated][0]["after"]
    wait_until(lambda: state_of(workers[0]) == changed, 10, "the change on the first worker")
    before = state_of(workers[0])
    assert before["canary_version"] == "v0.3"
    for worker in workers:
        assert worker.stop() == 0
        assert "only seed an environment without a state" not in worker.log.read_text()
    other = topics_created.model_copy(
        update={
            "model_version": "v0.3",
            "canary_version": "v0.1",
            "rollout_strategy": "canary",
            "canary_percentage": 25.0,
        }
    )
    workers = [start_worker(other) for _ in range(2)]
    ready(workers)
    for worker in workers:
        assert state_of(worker) == before
        notice = wait_until(lambda of=worker: seed_notice(of), 10, f"{worker} to say so")
        for part in ("MODEL_VERSION=v0.3 (now v0.1)", "CANARY_VERSION=v0.1 (now v0.3)"):
            assert part in notice
        assert "ROLLOUT_STRATEGY=canary (now ab_test)" in notice
    client.post_command(type="rollout", canary_version="v0.3", command_id=duplicated)
    wait_until(lambda: len(client.results[duplicated]) > 1, 15, "the second result")
    assert [result["status"] for result in client.results[duplicated]] == ["applied", "duplicate"]
    assert [state_of(worker) for worker in workers] == [before, before]
    assert [(result["type"], result["issued_by"], result["status"]) for result in client.trail] == [
        ("swap", "environment", "applied"),
        ("rollout", "environment", "applied"),
        ("rollout", "test", "applied"),
        ("rollout", "test", "duplicate"),
    ]


def seed_notice(worker: Worker) -> str:
    lines = worker.log.read_text().splitlines()
    return next((line for line in lines if "only seed an environment without a state" in line), "")


def test_of_fifty_writers_that_saw_the_same_state_one_wins_and_the_others_learn_what_changed(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    worker = start_worker(topics_created.model_copy(update={"model_version": "v0.1"})).wait_ready()
    before = state_of(worker)
    together = Barrier(WRITERS)

    def write(number: int) -> str:
        together.wait(30)
        return client.post_command(
            type="rollout",
            strategy="canary",
            canary_version="v0.2",
            canary_percentage=number,
            expected_epoch=before["epoch"],
            issued_by=f"operator {number}",
        )

    with ThreadPoolExecutor(WRITERS) as writers:
        ids = list(writers.map(write, range(1, WRITERS + 1)))
    results = [client.result_of(command_id) for command_id in ids]
    (winner,) = [result for result in results if result["status"] == "applied"]
    percentage = winner["after"]["canary_percentage"]
    assert winner["issued_by"] == f"operator {percentage:g}"
    losers = [result for result in results if result is not winner]
    assert len(losers) == WRITERS - 1
    for loser in losers:
        assert (loser["status"], loser["error"]["code"]) == ("rejected", "stale_epoch")
        for part in (
            f"expected_epoch {before['epoch']}",
            f"is now {winner['epoch']}",
            winner["issued_by"],
            f"canary v0.2 at {percentage:g} %",
        ):
            assert part in loser["error"]["message"]
    wait_until(lambda: state_of(worker) == winner["after"], 10, "the winner's state")
