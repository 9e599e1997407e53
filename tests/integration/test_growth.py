"""More partitions under traffic: workers read them by themselves, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from harness.calm_logs import require_calm_logs
from harness.client import Client
from harness.doctor_findings import doctor_findings
from harness.fresh import environment_of, publish_model, without
from harness.traffic import Traffic
from harness.waiting import wait_until
from harness.workers import ROOT, Worker

from registry.errors import RefusedCommand
from registry.kafka.partition_growth import grow_topics
from registry.kafka.topic_admin import (
    check_topics,
    client_config,
    create_topics,
    partitions_by_topic,
)
from registry.kafka.topics import topics_of
from registry.settings import Settings

Start = Callable[..., Worker]
GROWN = 6
BAR_SECONDS = 30
MOST_LINES = 30
"""Of a worker that starts, serves, and grows: about ten, most of them rebalances."""


def grow(settings: Settings, partitions: int) -> list[str]:
    """Run `recstream topics grow`; return the lines that it prints."""
    ended = subprocess.run(
        [sys.executable, "-m", "ops.cli.main", "topics", "grow", str(partitions)],
        env=without(os.environ) | environment_of(settings) | {"COLUMNS": "200"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def read_by(*workers: Worker) -> list[int]:
    """Return the request partitions that the workers read, each as often as it is read."""
    lines = [line for worker in workers for line in worker.fetch("/metrics").text.splitlines()]
    lags = [line for line in lines if line.startswith("consumer_lag{")]
    return sorted(int(lag.split('partition="')[1].split('"')[0]) for lag in lags)


def test_requests_on_new_partitions_are_answered_within_the_bar_and_none_is_lost(
    client: Client, topics_created: Settings, start_worker: Start, figure: Callable[[str], None]
) -> None:
    publish_model(topics_created)
    first, second = start_worker(topics_created), start_worker(topics_created)
    first.wait_ready()
    second.wait_ready()
    with Traffic(client, range(1, 51), per_second=50) as traffic:
        traffic.wait_for_more(1)
        started = time.monotonic()
        assert grow(topics_created, GROWN) == [
            f"{topic.name} has {GROWN} partitions" for topic in topics_of(topics_created).by_user
        ]
        client.follow_growth(GROWN)
        with Client(topics_created.model_copy(update={"partitions": GROWN})) as newer:
            newer.follow_growth(GROWN)
            ids = [f"grown-{number}" for number in range(200)]
            newer.send(
                {"request_id": request_id, "user_id": n % 50 + 1}
                for n, request_id in enumerate(ids)
            )
            newer.wait_for(ids, BAR_SECONDS)
        seconds = time.monotonic() - started
        third = start_worker(topics_created).wait_ready()  # its setting still says 4
        everybody = (first, second, third)
        wait_until(lambda: read_by(*everybody) == list(range(GROWN)), 60, "six partitions, once")
        traffic.wait_for_more(1)
        answers = traffic.answers()
    figure(f"{len(answers)} answers; those of new partitions after {seconds:.1f} s")
    assert {answer["status"] for answer in answers} == {"ok"}
    assert check_topics(topics_created) == []
    require_calm_logs(everybody, MOST_LINES)
    assert not [worker for worker in everybody if "Unknown partition" in worker.log.read_text()]


def test_all_topics_by_user_grow_in_order_and_a_call_that_broke_off_is_made_again(
    topics_created: Settings,
) -> None:
    topics, admin = topics_of(topics_created), AdminClient(client_config(topics_created))
    responses = topics.responses.name
    admin.create_partitions([NewPartitions(responses, GROWN)])[responses].result(10)
    wait_until(lambda: len(check_topics(topics_created)) == 4, 60, "four topics to be smaller")
    assert all(
        f"grow {GROWN}` makes them equal" in complaint for complaint in check_topics(topics_created)
    )

    grown: list[str] = []
    grow_topics(topics_created, GROWN, lambda topic: grown.append(topic.name))

    assert grown == [topic.name for topic in topics.by_user if topic.name != responses]
    assert grow_topics(topics_created, GROWN) == []
    assert create_topics(topics_created) == []
    with pytest.raises(RefusedCommand, match="Kafka cannot shrink a topic; nothing was changed"):
        grow_topics(topics_created, GROWN - 1)
    counts = partitions_by_topic(admin)
    assert {counts[topic.name] for topic in topics.by_user} == {GROWN}


def test_a_worker_names_topics_that_do_not_belong_together_any_more_and_serves(
    topics_created: Settings, start_worker: Start
) -> None:
    publish_model(topics_created)
    worker = start_worker(topics_created).wait_ready()
    requests = topics_of(topics_created).requests.name
    admin = AdminClient(client_config(topics_created))
    admin.create_partitions([NewPartitions(requests, GROWN)])[requests].result(10)

    def notices() -> dict[str, str]:
        found = worker.get("/readyz")["notices"]
        return {notice["code"]: notice["message"] for notice in found}

    wait_until(lambda: "topics_differ" in notices(), 60, "the mismatch to be named")
    assert f"`recstream topics grow {GROWN}`" in notices()["topics_differ"]
    found = doctor_findings(topics_created)
    assert f"grow {GROWN}` makes them equal" in found["topics"]
    assert "topics_differ" in found["workers"]
    start_worker(topics_created).wait_ready()

    grow_topics(topics_created, GROWN)
    wait_until(lambda: not notices(), 60, "the notice to go")
