"""Workers that come and go: who gets which partitions, and what users notice of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient
from harness.calm_logs import require_calm_logs
from harness.client import Client
from harness.fresh import fresh_settings, publish_model
from harness.traffic import Traffic
from harness.waiting import wait_until
from harness.workers import Worker

from registry.connection.client_config import client_config
from registry.kafka.topic_admin import check_topics, create_topics
from registry.kafka.topics import topics_of
from registry.settings import Settings

Start = Callable[..., Worker]


def shares(settings: Settings) -> Mapping[str, list[int]]:
    """Return each member's request partitions, as the broker knows them; empty while it waits."""
    admin = AdminClient({**client_config(settings), "log_level": 0})
    group = f"{settings.topic_prefix}-{settings.environment}"
    try:
        described = admin.describe_consumer_groups([group])[group].result(10)
    except (KafkaException, TimeoutError):  # its coordinator is being found
        return {}
    if described.state != ConsumerGroupState.STABLE:
        return {}
    requests = topics_of(settings).requests.name
    return {
        member.member_id: sorted(
            place.partition
            for place in member.assignment.topic_partitions
            if place.topic == requests
        )
        for member in described.members
    }


def wait_for_shares(settings: Settings, sizes: list[int]) -> Mapping[str, list[int]]:
    """Return the shares once there is one of each of `sizes`."""
    seen: dict[str, list[int]] = {}

    def shared() -> bool:
        seen.clear()
        seen.update(shares(settings))
        return sorted(map(len, seen.values())) == sizes

    try:
        wait_until(shared, 40, f"shares of {sizes}")
    except AssertionError as error:
        raise AssertionError(f"{error}; seen: {seen}") from None
    assert sorted(number for share in seen.values() for number in share) == list(range(sum(sizes)))
    return seen


def test_a_worker_that_joins_gets_its_share_and_no_other_partition_moves(
    topics_created: Settings, start_worker: Start
) -> None:
    publish_model(topics_created)
    for _ in range(2):
        start_worker(topics_created)
    two = wait_for_shares(topics_created, [2, 2])
    start_worker(topics_created)
    three = wait_for_shares(topics_created, [1, 1, 2])
    assert all(set(three[member]) <= set(share) for member, share in two.items())


def codes(worker: Worker) -> list[str]:
    """Return why `worker` is not ready; empty as well while it does not answer yet."""
    try:
        return [reason["code"] for reason in worker.get("/readyz")["reasons"]]
    except (OSError, HTTPException):
        return []


def test_a_worker_that_cannot_answer_takes_no_partition_from_one_that_can_until_it_can_too(
    client: Client, topics_created: Settings, start_worker: Start, tmp_path: Path
) -> None:
    publish_model(topics_created)
    healthy = start_worker(topics_created).wait_ready()
    client.command(type="swap", model_version="v0.1")
    mount = tmp_path / "mount"
    lame = start_worker(topics_created, variables={"MODEL_REGISTRY": str(mount)})
    with Traffic(client, range(1, 51), 50) as traffic:
        wait_until(lambda: codes(lame) == ["not_in_group"], 30, "the worker to stay outside")
        traffic.wait_for_more(4)
        assert [len(share) for share in shares(topics_created).values()] == [4]
        assert lame.fetch("/").status == 200  # its page is up meanwhile
        shutil.copytree(topics_created.model_registry, mount, dirs_exist_ok=True)
        wait_for_shares(topics_created, [2, 2])
        lame.wait_ready()
        traffic.wait_for_more(1)
    answers = traffic.answers()
    assert {answer["status"] for answer in answers} == {"ok"}
    assert {answer["provenance"]["worker"] for answer in answers} == {healthy.name, lame.name}


def test_workers_that_cannot_answer_join_when_nobody_else_can_either(
    client: Client, topics_created: Settings, start_worker: Start, tmp_path: Path
) -> None:
    publish_model(topics_created)
    healthy = start_worker(topics_created).wait_ready()
    client.command(type="swap", model_version="v0.1")
    missing = {"MODEL_REGISTRY": str(tmp_path / "mount")}
    lame = [start_worker(topics_created, variables=missing) for _ in range(2)]
    for worker in lame:
        wait_until(lambda at=worker: codes(at) == ["not_in_group"], 30, "it to stay outside")
    assert healthy.stop() == 0
    wait_for_shares(topics_created, [2, 2])
    for worker in lame:
        wait_until(lambda at=worker: "version_not_ready" in codes(at), 30, "what it lacks")


MOST_LINES = 30
"""Of a worker that starts, sees others come and go, and stops: about ten."""

MOST_SECONDS = 3.0
"""The bar on a quiet machine is 1 s (`recstream bench membership`); this one runs beside others."""


def test_ordinary_restarts_joins_and_leaves_are_short_and_need_no_second_reading(
    client: Client,
    topics_created: Settings,
    start_worker: Start,
    figure: Callable[[str], None],
) -> None:
    publish_model(topics_created)
    workers = [start_worker(topics_created).wait_ready() for _ in range(2)]
    client.command(type="swap", model_version="v0.1")
    with Traffic(client, range(1, 51), 100) as traffic:
        traffic.wait_for_more(2)
        for number in range(2):  # a rolling restart
            assert workers[number].stop() == 0
            workers.append(start_worker(topics_created).wait_ready())
        workers.append(start_worker(topics_created).wait_ready())  # a join
        wait_for_shares(topics_created, [1, 1, 2])
        assert workers[-1].stop() == 0  # a leave
        wait_for_shares(topics_created, [2, 2])
        traffic.wait_for_more(2)
    answers = traffic.answers()
    assert {answer["status"] for answer in answers} == {"ok"}
    waits = sorted(answer["provenance"]["latency_ms"] / 1000 for answer in answers)
    figure(f"{len(waits)} answers; the longest wait was {waits[-1]:.2f} s")
    assert waits[-1] < MOST_SECONDS
    for worker in workers:
        assert "reading the rest" not in worker.log.read_text()
    require_calm_logs(workers, MOST_LINES)


@pytest.mark.long
def test_seven_workers_share_eight_partitions(
    kafka: str, tmp_path: Path, start_worker: Start
) -> None:
    settings = fresh_settings(kafka, tmp_path, RECSTREAM_PARTITIONS="8")
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 60, "the topics to be there")
    publish_model(settings)
    for _ in range(7):
        start_worker(settings)
    wait_for_shares(settings, [1, 1, 1, 1, 1, 1, 2])
