"""Requests of transactional producers: only what was committed is answered, and lag stays true."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer
from harness.client import Client
from harness.fresh import publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from ops.clients.kafka_client import ask
from registry.connection.client_config import client_config
from registry.kafka.topic_reader import bounds, connected
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.requests import Request

Start = Callable[..., Worker]
SECONDS = 30


@pytest.fixture
def serving(topics_created: Settings, start_worker: Start) -> Worker:
    publish_model(topics_created)
    return start_worker(topics_created).wait_ready()


@contextmanager
def transaction(settings: Settings, ids: list[str], partition: int = 0) -> Iterator[Producer]:
    """Send requests within a transaction that the block has to end."""
    producer = Producer(client_config(settings) | {"transactional.id": f"test-{uuid.uuid4()}"})
    producer.init_transactions(SECONDS)
    producer.begin_transaction()
    for request_id in ids:
        payload = json.dumps({"request_id": request_id, "user_id": 7, "k": 3}).encode()
        producer.produce(topics_of(settings).requests.name, payload, b"7", partition)
    producer.flush(SECONDS)
    yield producer


def test_only_committed_requests_are_answered_and_a_trailing_marker_is_no_lag(
    client: Client, serving: Worker
) -> None:
    with transaction(client.settings, ["aborted-1", "aborted-2"]) as producer:
        producer.abort_transaction(SECONDS)
    with transaction(client.settings, ["committed-1", "committed-2"]) as producer:
        assert not client.answers  # neither the aborted ones nor those of the open transaction
        producer.commit_transaction(SECONDS)

    client.wait_for(["committed-1", "committed-2"])
    wait_until(lambda: set(lags(serving).values()) == {0.0}, 10, "a lag of 0 on all partitions")
    assert set(client.answers) == {"committed-1", "committed-2"}


def test_an_open_transaction_that_holds_up_a_partition_is_named_until_it_ends(
    client: Client, serving: Worker
) -> None:
    with transaction(client.settings, ["held-1"], partition=2) as producer:
        client.produce(client.topics.requests, b'{"request_id": "free", "user_id": 1}', b"1")
        client.wait_for(["free"])

        notice = wait_until(
            lambda: notices(serving).get("open_transaction"), 30, "the open transaction to be named"
        )
        assert "partition 2 " in notice
        assert serving.fetch("/readyz").status == 200  # no worker could do anything about it
        producer.commit_transaction(SECONDS)

    client.wait_for(["held-1"])
    wait_until(lambda: not notices(serving), 10, "the notice to go")


def test_garbage_on_the_response_topic_keeps_nobody_from_its_answers(
    client: Client, serving: Worker
) -> None:
    requests = [Request(request_id=f"r{number}", user_id=number) for number in range(1, 9)]
    serving.pause()  # so that the garbage comes first
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask, client.settings, requests)
        wait_until(lambda: sent_to(client) == len(requests), 15, "the requests to be sent")
        for value in (b"\xff\xfe", b'{"request_id": 5}', b"[]", None):
            client.produce(client.topics.responses, value, b"1")
        serving.resume()
        answers = asking.result(SECONDS)

    assert set(answers.by_request_id) == {request.request_id for request in requests}


def sent_to(client: Client) -> int:
    """Return how many records the request topic holds."""
    with connected(client.settings) as consumer:
        return sum(high for _, _, high in bounds(client.settings, consumer, client.topics.requests))


def lags(worker: Worker) -> dict[str, float]:
    """Return the lag of each request partition that the worker has."""
    lines = worker.fetch("/metrics").text.splitlines()
    found = (line.rsplit(" ", 1) for line in lines if line.startswith("consumer_lag{"))
    return {labels: float(value) for labels, value in found}


def notices(worker: Worker) -> dict[str, str]:
    """Return what the worker warns of, by code."""
    return {
        notice["code"]: notice["message"] for notice in worker.get("/readyz").get("notices", [])
    }
