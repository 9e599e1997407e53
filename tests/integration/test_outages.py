"""Brokers that freeze, die and come back under real workers: none ends, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from harness.calm_logs import require_calm_logs
from harness.client import Client
from harness.fresh import fresh_settings, publish_model
from harness.steady import SteadyTraffic
from harness.training_children import child, lines, until_it_fits
from harness.waiting import wait_until
from harness.workers import Worker

from ops.ingest.send_once import SentCounts, send_once
from ops.local.kafka_cluster import Cluster, running_cluster
from registry.kafka.topic_admin import check_topics, create_topics
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.requests import Request
from registry.wire.training_records.training_messages import TrainingResult
from tests.unit.training.builders import checkerboard_events

FROZEN_SECONDS = 30
"""The bar: with one of three brokers frozen, requests are answered again."""

MOST_LINES = 100
"""Of a worker's whole log, its start included, in an outage of less than a minute."""

RETURN_SECONDS = 10
"""The bar: once brokers are back and take records, requests are answered again."""


@pytest.fixture
def one_broker(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "kafka"
    folder.mkdir()
    with running_cluster(folder, size=1) as cluster:
        yield cluster


@pytest.fixture
def three_brokers(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "kafka"
    folder.mkdir()
    with running_cluster(folder) as cluster:
        yield cluster


def settings_of(cluster: Cluster, folder: Path, **variables: str) -> Settings:
    settings = fresh_settings(
        cluster.bootstrap,
        folder,
        RECSTREAM_REPLICATION_FACTOR=str(cluster.size),
        RECSTREAM_PARTITIONS="6",
        RECSTREAM_SESSION_TIMEOUT="10",
        **variables,
    )
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 60, "the topics to be there")
    publish_model(settings)
    return settings


def readiness(worker: Worker) -> list[str]:
    return [reason["code"] for reason in worker.get("/readyz")["reasons"]]


def require_alive(workers: Sequence[Worker]) -> None:
    for worker in workers:
        assert worker.process.poll() is None, f"{worker} has ended:\n{worker.tail()}"


def freeze_a_leader(
    cluster: Cluster,
    folder: Path,
    start_worker: Callable[..., Worker],
    figure: Callable[[str], None],
    seconds: float,
) -> None:
    settings = settings_of(cluster, folder)
    workers = [start_worker(settings) for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    with Client(settings) as client, SteadyTraffic(client) as traffic:
        traffic.wait_for_answers(20)
        frozen = cluster.leader(client.topics.control.name)
        cluster.freeze(frozen)
        started = time.monotonic()
        again = hear_all_partitions(client, traffic)
        wait_until(lambda: time.monotonic() - started > seconds, seconds + 5, "the frozen time")
        require_alive(workers)
        cluster.thaw(frozen)
        cluster.wait_started(frozen)
        for worker in workers:
            worker.wait_ready()
        outcome = traffic.outcome()
    require_alive(workers)
    logged = require_calm_logs(workers, MOST_LINES)
    figure(
        f"one of three brokers frozen for {seconds:g} s: {again:.1f} s without; {outcome}; "
        f"at most {logged} lines logged"
    )
    assert outcome.lost == 0
    assert again < FROZEN_SECONDS


def hear_all_partitions(client: Client, traffic: SteadyTraffic) -> float:
    """Return the seconds until the requests of every user are answered again."""
    started = time.time()

    def users_heard() -> int:
        return len(
            {
                client.answers[request_id][0]["user_id"]
                for request_id, at in list(client.answered_at.items())
                if traffic.confirmed_at(request_id) > started and at
            }
        )

    wait_until(lambda: users_heard() == traffic.users, 180, "answers to every user")
    return time.time() - started


def take_brokers_away(
    cluster: Cluster,
    away: Sequence[int],
    folder: Path,
    start_worker: Callable[..., Worker],
    figure: Callable[[str], None],
    seconds: float,
    **variables: str,
) -> None:
    settings = settings_of(cluster, folder, **variables)
    workers = [start_worker(settings) for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    bound = settings.outage_seconds
    with Client(settings) as client, SteadyTraffic(client) as traffic:
        traffic.wait_for_answers(20)
        for broker in away:
            cluster.kill(broker)
        started = time.monotonic()
        for worker in workers:
            wait_until(
                lambda watched=worker: readiness(watched) == ["kafka_unreachable"], 30, "/readyz"
            )
        if bound < seconds:
            for worker in workers:
                wait_until(
                    lambda watched=worker: watched.fetch("/healthz").status == 503,
                    bound + 10,
                    "/healthz",
                )
        wait_until(lambda: time.monotonic() - started > seconds, seconds + 5, "the outage")
        require_alive(workers)
        cluster.start(*away)
        cluster.wait_started(*away)
        wait_until(lambda: taken_since(traffic, time.time()), 60, "Kafka to take requests")
        again = hear_all_partitions(client, traffic)
        for worker in workers:
            worker.wait_ready()
            assert worker.fetch("/healthz").status == 200
        outcome = traffic.outcome()
    require_alive(workers)
    logged = require_calm_logs(workers, MOST_LINES)
    figure(
        f"{len(away)} of {cluster.size} brokers away for {seconds:g} s: {again:.1f} s from their "
        f"return to answers for all; {outcome}; at most {logged} lines logged"
    )
    assert outcome.lost == 0
    assert again < RETURN_SECONDS


def taken_since(traffic: SteadyTraffic, moment: float) -> bool:
    return traffic.last_confirmed_at > moment - 0.5


def test_a_fleet_goes_on_beside_a_frozen_broker(
    three_brokers: Cluster, tmp_path: Path, start_worker: Any, figure: Any
) -> None:
    freeze_a_leader(three_brokers, tmp_path, start_worker, figure, 25)


@pytest.mark.long
def test_a_fleet_goes_on_beside_a_broker_that_is_frozen_for_two_minutes(
    three_brokers: Cluster, tmp_path: Path, start_worker: Any, figure: Any
) -> None:
    freeze_a_leader(three_brokers, tmp_path, start_worker, figure, 120)


def test_workers_outlive_their_only_broker_and_ask_for_a_restart_when_it_is_away_too_long(
    one_broker: Cluster, tmp_path: Path, start_worker: Any, figure: Any
) -> None:
    take_brokers_away(
        one_broker, [0], tmp_path, start_worker, figure, 20, RECSTREAM_OUTAGE_SECONDS="12"
    )


@pytest.mark.long
def test_workers_outlive_their_only_broker_for_two_minutes(
    one_broker: Cluster, tmp_path: Path, start_worker: Any, figure: Any
) -> None:
    take_brokers_away(one_broker, [0], tmp_path, start_worker, figure, 120)


@pytest.mark.long
def test_workers_outlive_two_of_three_brokers_for_a_minute(
    three_brokers: Cluster, tmp_path: Path, start_worker: Any, figure: Any
) -> None:
    take_brokers_away(three_brokers, [0, 1], tmp_path, start_worker, figure, 60)


def test_a_worker_that_knows_only_dead_addresses_goes_back_to_its_bootstrap_list(
    three_brokers: Cluster, tmp_path: Path, start_worker: Any, figure: Any
) -> None:
    """Its list names one broker; while that is away, it learns the others' addresses, which end."""
    everywhere = settings_of(three_brokers, tmp_path)
    listed = {"kafka_bootstrap_servers": three_brokers.addresses[0]}
    worker = start_worker(everywhere.model_copy(update=listed)).wait_ready()
    with Client(everywhere) as client:
        three_brokers.kill(0)
        for user in range(1, 31):  # each partition goes by the brokers that are left
            ask_until_answered(client, user)
    worker.wait_ready()

    for broker in (1, 2):
        three_brokers.kill(broker)
        three_brokers.move(broker)
    wait_until(lambda: readiness(worker) == ["kafka_unreachable"], 40, "the outage to be noticed")
    three_brokers.start(0, 1, 2)
    three_brokers.wait_started(0, 1, 2)
    moved = {"kafka_bootstrap_servers": three_brokers.bootstrap}
    with Client(everywhere.model_copy(update=moved)) as client:
        client.send([Request("back", 1)])
        returned = time.monotonic()  # Kafka takes requests
        client.wait_for(["back"], 60)
        seconds = time.monotonic() - returned
        worker.wait_ready()
        client.send(Request(f"all-{user}", user) for user in range(1, 31))
        client.wait_for(f"all-{user}" for user in range(1, 31))
    require_alive([worker])
    logged = require_calm_logs([worker], MOST_LINES)
    figure(f"answered {seconds:.1f} s after the brokers' return at other addresses; {logged} lines")
    assert seconds < RETURN_SECONDS


def ask_until_answered(client: Client, user: int) -> None:
    """Ask for one user; the first may wait for a change of leaders."""
    request_id = f"user-{user}"
    client.send([Request(request_id, user)])
    client.wait_for([request_id], FROZEN_SECONDS)


def test_a_worker_waits_for_a_kafka_that_is_not_there_yet(
    one_broker: Cluster, tmp_path: Path, start_worker: Any
) -> None:
    settings = settings_of(one_broker, tmp_path)
    one_broker.kill(0)
    worker = start_worker(settings)

    wait_until(lambda: worker.tail().count("waiting for Kafka") >= 2, 30, "two lines")
    assert "Traceback" not in worker.tail()
    one_broker.start(0)

    worker.wait_ready()


def test_a_worker_that_waits_for_kafka_longer_than_it_should_ends_and_says_why(
    tmp_path: Path, start_worker: Any
) -> None:
    settings = fresh_settings("127.0.0.1:1", tmp_path, RECSTREAM_OUTAGE_SECONDS="10")
    worker = start_worker(settings)

    assert worker.process.wait(40) == 1
    assert "Kafka does not answer on 127.0.0.1:1" in worker.tail()
    assert "is KAFKA_BOOTSTRAP_SERVERS right?" in worker.tail()
    assert "Traceback" not in worker.tail()


def test_an_ingest_right_after_a_restart_waits_out_what_passes(
    one_broker: Cluster, tmp_path: Path
) -> None:
    settings = settings_of(one_broker, tmp_path)
    records = [("1", b'{"user_id": 1, "item_id": 2, "event": "click"}')]
    assert send_once(settings, "a-file", iter(records)) == SentCounts(now=1, before=0)

    one_broker.restart(0, kill=True)

    assert send_once(settings, "a-file", iter(records)) == SentCounts(now=0, before=1)


def test_a_training_publishes_though_the_broker_that_keeps_its_lock_has_died(
    three_brokers: Cluster, tmp_path: Path, figure: Any
) -> None:
    settings = settings_of(three_brokers, tmp_path)
    with Client(settings) as client:
        for event in checkerboard_events(100, 100):
            client._produce(client.topics.interactions, str(event.user_id).encode(), encode(event))
    group = lock_group(settings)
    seconds_long = ("--factors", "8", "--iterations", "1000")
    with child(settings, "-m", "training", *seconds_long) as running:
        printed = lines(running)
        until_it_fits(printed)
        keeper = coordinator_of(three_brokers, group)
        assert keeper is not None
        three_brokers.kill(keeper)
        killed = time.monotonic()
        *_, last = printed
    assert isinstance(last, TrainingResult)
    assert (last.status, last.reason) == ("published", None)
    assert coordinator_of(three_brokers, group) not in (None, keeper)
    figure(f"published {time.monotonic() - killed:.1f} s after the lock's keeper had died")


def lock_group(settings: Settings) -> str:
    return f"{settings.topic_prefix}-{settings.environment}-training"


def coordinator_of(cluster: Cluster, group: str) -> int | None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    try:
        found = admin.describe_consumer_groups([group], request_timeout=10)[group].result()
    except KafkaException:
        return None
    return int(found.coordinator.id) - 1


CRASHES_WHEN_TOLD = """
import os, pathlib
from aiokafka.errors import NodeNotReadyError
from registry.settings import read_settings
from streams.kafka.slices import SliceConsumer
from streams.worker import run_worker

commit = SliceConsumer.commit

async def commit_or_crash(self, *given, **more):
    if pathlib.Path("crash").exists():
        pathlib.Path("crash").unlink()
        await self.crash(NodeNotReadyError("injected"))
        return False
    return await commit(self, *given, **more)

SliceConsumer.commit = commit_or_crash
run_worker(read_settings(os.environ))
"""


def test_a_worker_whose_faust_gives_up_on_kafka_begins_again_in_the_same_process(
    topics_created: Settings, client: Client, tmp_path: Path, start_worker: Any
) -> None:
    publish_model(topics_created)
    worker = start_worker(topics_created, arguments=("-c", CRASHES_WHEN_TOLD)).wait_ready()

    (tmp_path / "crash").touch()
    wait_until(lambda: "Faust has lost Kafka" in worker.tail(), 20, "the crash")

    client.send([Request("after-the-crash", 1)])
    assert client.wait_for(["after-the-crash"], 60)
    worker.wait_ready()
