"""Topics that are deleted and made again, and records that retention took: seen, said, mended."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from harness.client import Client
from harness.doctor_findings import doctor_findings
from harness.fresh import environment_of, fresh_settings, publish_model
from harness.outcome_following import answer_of, following_outcomes, until_closed
from harness.waiting import wait_until
from harness.workers import ROOT, Worker

from ops.clients import kafka_client
from ops.local.kafka_cluster import Cluster, running_cluster
from registry.connection.client_config import client_config
from registry.epochs import ERA_BITS
from registry.kafka.topic_admin import create_topics
from registry.kafka.topic_reader import messages, reading
from registry.kafka.topics import Topic, changelog_of, topics_of
from registry.settings import Settings

Start = Callable[..., Worker]
SECONDS = 40
MOST_LINES = 200
"""Of two workers in about a minute; there were 260 a second once."""


@pytest.fixture
def fleet_settings(topics_created: Settings) -> Settings:
    publish_model(topics_created, seed=1)
    publish_model(topics_created, seed=2)
    return topics_created


def test_requests_of_a_topic_that_was_made_again_are_all_answered(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    workers = [start_worker(fleet_settings), start_worker(fleet_settings)]
    for worker in workers:
        worker.wait_ready()
    client.send(
        {"request_id": f"old-{request_number}", "user_id": request_number % 50 + 1}
        for request_number in range(300)
    )
    client.wait_for(f"old-{request_number}" for request_number in range(300))

    make_again(fleet_settings, topics_of(fleet_settings).requests)
    with Client(fleet_settings) as newer:
        newer.send(
            {"request_id": f"new-{request_number}", "user_id": request_number % 50 + 1}
            for request_number in range(900)
        )
        newer.wait_for((f"new-{request_number}" for request_number in range(900)), SECONDS)
        newer.send(
            {"request_id": f"newer-{request_number}", "user_id": request_number % 50 + 1}
            for request_number in range(90)
        )
        newer.wait_for((f"newer-{request_number}" for request_number in range(90)), SECONDS)
    assert [worker.process.poll() for worker in workers] == [None, None]


def test_outcomes_are_joined_from_the_beginning_of_a_topic_that_was_made_again(
    topics_created: Settings,
) -> None:
    settings = topics_created.model_copy(update={"attribution_seconds": 1.0})
    responses = topics_of(settings).responses

    async def scenario() -> None:
        async with following_outcomes(settings) as follower:
            for _ in range(3):
                answer_of(settings, user=1)
            await until_closed(follower, 1, SECONDS)

            assert follower.progress.unusable == 0

            await asyncio.to_thread(make_again, settings, responses)
            follower.note_made_again(responses.name)
            answer_of(settings, user=1)  # he is counted already
            answer_of(settings, user=2)
            kafka_client.produce_all(settings, responses, [("1", b"{")])
            await until_closed(follower, 2, SECONDS)
            await asyncio.to_thread(
                wait_until,
                lambda: follower.progress.unusable == 1,
                SECONDS,
                "what cannot be read to count",
            )
            assert (follower.progress.left_out, follower.notice()) == (0, None)

    asyncio.run(scenario())


def status_that_names_begin_era(settings: Settings) -> subprocess.CompletedProcess[str] | None:
    shown = recstream(settings, "rollout", "status")
    return shown if "begin-era" in shown.stderr else None


def test_a_new_control_topic_begins_an_era_only_when_an_operator_says_so(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    workers = [start_worker(fleet_settings), start_worker(fleet_settings)]
    for worker in workers:
        worker.wait_ready()
    for version in ("v0.1", "v0.2", "v0.1", "v0.2"):
        before = client.command(type="swap", model_version=version)
    refused = recstream(fleet_settings, "rollout", "begin-era", "--yes")
    assert (refused.returncode, "same_control_topic" in refused.stderr) == (1, True), refused

    make_again(fleet_settings, topics_of(fleet_settings).control)
    outgrow(fleet_settings)
    for worker in workers:
        wait_until(
            lambda at=worker: reasons(at) == ["foreign_control_topic"], SECONDS, "the reason"
        )
    assert workers[0].fetch("/switch?model=v0.1", "POST").status == 409
    found = doctor_findings(fleet_settings)["workers"]
    assert "is not ready: foreign_control_topic: " in found
    assert "begin-era" in found
    with Client(fleet_settings) as operator:
        rejected = operator.command(SECONDS, type="swap", model_version="v0.1")
        assert rejected["error"]["code"] == "foreign_control_topic"
        shown = wait_until(  # the next heartbeat tells it
            lambda: status_that_names_begin_era(fleet_settings),
            SECONDS,
            "status to name the command",
        )
        assert "v0.2" in shown.stdout

        era = workers[0].fetch("/rollout/begin-era", "POST", {"reason": "made again"})
        assert (era.status, era.json()["status"]) == (200, "applied"), era
        again = workers[1].fetch("/rollout/begin-era", "POST")
        assert (again.status, again.json()["code"]) == (422, "same_control_topic"), again
        for worker in workers:
            worker.wait_ready()
            assert worker.get("/rollout/status")["state"] == before["after"]
        swapped = operator.command(type="swap", model_version="v0.1")
        assert (swapped["status"], swapped["epoch"] >> ERA_BITS) == ("applied", 1)
        stale = operator.command(type="swap", model_version="v0.2", expected_epoch=before["epoch"])
        assert stale["error"]["code"] == "stale_epoch"
        for worker in workers:
            wait_until(lambda at=worker: acting(at) == swapped["epoch"], 60, "the era's epoch")
        operator.send([{"request_id": "era", "user_id": 1}])
        (answer, *_) = operator.wait_for(["era"])["era"]
        assert answer["provenance"]["rollout_epoch"] == swapped["epoch"]
    assert (
        start_worker(fleet_settings).wait_ready().get("/rollout/status")["state"]
        == (swapped["after"])
    )


def outgrow(settings: Settings) -> None:
    """Fill the new control topic with commands of another environment, beyond the former's end."""
    with Client(settings.model_copy(update={"environment": "elsewhere"})) as another:
        for _ in range(30):
            another.post_command(type="swap", model_version="v0.1")


def test_requests_that_retention_took_are_counted_and_the_rest_is_answered(
    client: Client, fleet_settings: Settings, start_worker: Start
) -> None:
    worker = start_worker(fleet_settings).wait_ready()
    client.send([{"request_id": "first", "user_id": user} for user in range(1, 40)])
    client.wait_for(["first"])
    worker.pause()
    lost = [f"lost-{number}" for number in range(300)]
    client.send(
        {"request_id": request_id, "user_id": n % 50 + 1} for n, request_id in enumerate(lost)
    )
    requests, admin = client.topics.requests, AdminClient(client_config(fleet_settings))
    places = [TopicPartition(requests.name, number, -1) for number in range(requests.partitions)]
    for deleted in admin.delete_records(places).values():
        deleted.result(10)
    worker.resume()
    kept = [f"kept-{number}" for number in range(50)]
    client.send({"request_id": request_id, "user_id": n + 1} for n, request_id in enumerate(kept))
    client.wait_for(kept)

    answered = sum(
        request_id in client.answers for request_id in lost
    )  # a fetch may have been under way
    wanted = f"requests_cut_off_total {300.0 - answered}"
    wait_until(lambda: wanted in worker.fetch("/metrics").text, 10, wanted)
    (notice,) = worker.get("/readyz")["notices"]
    assert notice["code"] == "requests_cut_off"
    assert f"{300 - answered} records" in notice["message"]
    assert worker.fetch("/readyz").status == 200


@pytest.fixture
def broker_with_a_disk(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "kafka").mkdir()
    with running_cluster(tmp_path / "kafka", size=1) as running:
        yield running


def test_a_broker_that_lost_its_disk_is_said_quietly_and_the_fleet_comes_back_with_its_state(
    broker_with_a_disk: Cluster,
    tmp_path: Path,
    start_worker: Start,
    figure: Callable[[str], None],
) -> None:
    cluster = broker_with_a_disk
    settings = fresh_settings(cluster.bootstrap, tmp_path)
    create_topics(settings)
    publish_model(settings, seed=1)
    publish_model(settings, seed=2)
    workers = [start_worker(settings), start_worker(settings)]
    for worker in workers:
        worker.wait_ready()
    with Client(settings) as client:
        state = client.command(type="swap", model_version="v0.1")["after"]

    cluster.kill(0)
    cluster.wipe(0)
    lines = sum(map(lines_of, workers))
    cluster.start(0)
    cluster.wait_started(0)
    for worker in workers:
        wait_until(lambda at=worker: reasons(at) == ["topic_missing"], SECONDS, "missing topics")
    created = recstream(settings, "topics", "create", "--json")
    assert "-rollout-changelog" in created.stdout
    for worker in workers:
        wait_until(
            lambda at=worker: reasons(at) == ["foreign_control_topic"], SECONDS, "the reason"
        )
    era = recstream(settings, "rollout", "begin-era", "--yes")
    assert era.returncode == 0, era.stdout + era.stderr
    for worker in workers:
        worker.wait_ready()
        assert worker.get("/rollout/status")["state"] == state
    logged = sum(map(lines_of, workers)) - lines
    figure(f"{logged} log lines of two workers since the wipe")
    assert logged < MOST_LINES
    with Client(settings) as client:
        ids = [f"r{number}" for number in range(100)]
        client.send(
            {"request_id": request_id, "user_id": n % 50 + 1} for n, request_id in enumerate(ids)
        )
        client.wait_for(ids, SECONDS)
    late = start_worker(settings).wait_ready()
    assert late.get("/rollout/status")["state"] == state


def test_a_fleet_moves_to_another_cluster_with_its_registry_and_its_state(
    client: Client,
    fleet_settings: Settings,
    broker_with_a_disk: Cluster,
    start_worker: Start,
) -> None:
    """As docs/how-to/use-your-kafka.md says: topics, the copied changelog, workers, a new era."""
    here = start_worker(fleet_settings).wait_ready()
    for version in ("v0.1", "v0.2", "v0.1"):
        client.command(type="swap", model_version=version)
    state = client.command(
        type="rollout", strategy="canary", canary_version="v0.2", canary_percentage=30
    )["after"]
    wait_until(lambda: acting(here) == state["epoch"], 15, "the state")
    assert here.stop() == 0

    there = fleet_settings.model_copy(
        update={"kafka_bootstrap_servers": broker_with_a_disk.bootstrap}
    )
    created = recstream(there, "topics", "create")
    assert created.returncode == 0, created.stderr
    copied = copy_changelog(fleet_settings, there)
    assert copied > 0
    workers = [start_worker(there), start_worker(there)]
    for worker in workers:
        wait_until(lambda at=worker: foreign_alone(at), SECONDS, "the reason")
        assert worker.get("/rollout/status")["state"] == state
    with Client(there) as moved:
        moved.send([{"request_id": "moved", "user_id": 1}])
        (answer, *_) = moved.wait_for(["moved"])["moved"]
        assert (answer["status"], answer["model_version"]) == ("ok", "v0.2")  # 1 % 100 < 30

        era = recstream(there, "rollout", "begin-era", "--yes")
        assert era.returncode == 0, era.stdout + era.stderr
        for worker in workers:
            worker.wait_ready()
        promoted = moved.command(type="promote")
        assert (promoted["status"], promoted["epoch"] >> ERA_BITS) == ("applied", 1)
        assert promoted["after"]["previous_versions"][0] == "v0.1"


def test_a_fleet_that_moves_without_its_state_is_seeded_anew_and_obeys_at_once(
    client: Client,
    fleet_settings: Settings,
    broker_with_a_disk: Cluster,
    start_worker: Start,
) -> None:
    here = start_worker(fleet_settings).wait_ready()
    for version in ("v0.1", "v0.2", "v0.1"):
        client.command(type="swap", model_version=version)
    assert here.stop() == 0
    there = fleet_settings.model_copy(
        update={"kafka_bootstrap_servers": broker_with_a_disk.bootstrap}
    )
    create_topics(there)

    worker = start_worker(there).wait_ready()

    assert worker.get("/rollout/status")["state"]["primary_version"] == "v0.2"  # the newest
    with Client(there) as moved:
        assert moved.command(type="swap", model_version="v0.1")["status"] == "applied"


def copy_changelog(source: Settings, target: Settings) -> int:
    """Copy the rollout table byte for byte, as MirrorMaker does; return how many records."""
    topic = changelog_of(source)
    producer = Producer(client_config(target))
    with reading(source, topic, last=1_000) as consumer:
        records = list(messages(consumer, 15, to_end=True))
    for record in records:
        producer.produce(topic.name, record.value(), record.key())
    assert producer.flush(15) == 0
    return len(records)


def foreign_alone(worker: Worker) -> bool:
    try:
        return reasons(worker) == ["foreign_control_topic"]
    except OSError:  # it has not begun to listen
        return False


def make_again(settings: Settings, topic: Topic) -> None:
    """Delete `topic`, and have it created as `recstream topics create` does."""
    admin = AdminClient(client_config(settings))
    admin.delete_topics([topic.name])[topic.name].result(15)
    wait_until(lambda: topic.name not in admin.list_topics(timeout=5).topics, 15, "it to go")
    wait_until(lambda: topic.name in create_topics(settings), 15, "it to be recreated")


def recstream(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli.main", *words],
        env={"PYTHONPATH": str(ROOT), "COLUMNS": "200", "PATH": "/usr/bin:/bin"}
        | environment_of(settings),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def reasons(worker: Worker) -> list[str]:
    """Return why the worker is not ready, by code."""
    page: Any = worker.get("/readyz")
    return [reason["code"] for reason in page["reasons"]]


def acting(worker: Worker) -> int | None:
    """Return the epoch that the worker acts on."""
    epoch: int | None = worker.get("/rollout/status")["acting_epoch"]
    return epoch


def lines_of(worker: Worker) -> int:
    return worker.log.read_bytes().count(b"\n")
