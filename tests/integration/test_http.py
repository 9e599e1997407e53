"""The HTTP API of real workers: what schemathesis and a fuzzer find, and what operators rely on."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from confluent_kafka import Producer
from harness.client import Client
from harness.fresh import publish_model
from harness.refusals import Refusals, refused
from harness.waiting import wait_until
from harness.workers import Page, Worker

from registry.connection.client_config import client_config
from registry.kafka.audit_trail import CHUNK_GROWTH, FIRST_CHUNK, TrailQuery, read_trail, trail_of
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.command_results import CommandResult
from registry.wire.instants import Instant
from streams.http.admission.slow_callers import BODY_SECONDS
from streams.http.endpoints import ENDPOINTS
from streams.http.openapi import document

Start = Callable[..., Worker]
REQUESTS = 10_000
WRITERS = 50
SEED = 20_26

SCHEMATHESIS = """
# A valid request may be one that the rules, or the state of the moment, refuse.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 303, 401, 403, 404, 409, 422, 503]
# What is too large is refused before anybody looks at it.
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 414, 415, 422, 431, "5xx"]
# One more than may wait is refused, and a deadline of a millisecond is a valid one.
[[operations]]
include-path-regex = "^/recommend"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", 404, 422, 429, 503, 504]
[operations.checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503, 504]
"""


@pytest.fixture
def worker(topics_created: Settings, start_worker: Start) -> Worker:
    """One worker that answers by the last of three versions."""
    for seed in range(3):
        publish_model(topics_created, seed=seed)
    return start_worker(topics_created).wait_ready()


def test_the_openapi_document_is_one() -> None:
    schemathesis.openapi.from_dict(document()).validate()


def test_schemathesis_finds_nothing(worker: Worker, tmp_path: Path) -> None:
    """All its checks, on all operations but two: a stream has no end, and a training run starts a
    process for each of hundreds of requests."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(SCHEMATHESIS)
    url = f"http://127.0.0.1:{worker.port}/openapi.json"
    excluded = ["--exclude-path", "/events", "--exclude-path", "/retrain"]
    bounded = ["--max-examples", "5", "--seed", "1", "--request-timeout", "20"]
    checked = ["--checks", "all", "--continue-on-failure", "--no-color"]
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", config, "run", url]
    done = subprocess.run(
        [*command, *checked, *excluded, *bounded],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    assert f"{len(ENDPOINTS) - 2} selected / {len(ENDPOINTS)} total" in done.stdout, done.stdout


def test_ten_thousand_requests_that_must_be_refused_change_nothing(
    worker: Worker, figure: Callable[[str], None]
) -> None:
    before = worker.get("/rollout/status")
    started = time.monotonic()
    found = asyncio.run(refused(worker.port, Refusals(SEED).attempts(REQUESTS)))
    seconds = time.monotonic() - started
    wrong = [
        (answer.attempt.kind, answer.attempt.payload[:200], answer.status, answer.text[:200])
        for answer in found
        if answer.status not in answer.attempt.statuses
    ]
    assert wrong[:10] == []
    assert len(found) == REQUESTS
    for answer in found:
        if answer.attempt.payload.startswith(b"HEAD "):
            continue
        if answer.attempt.kind == "no HTTP":
            assert answer.text, answer.attempt
            continue
        assert answer.content_type.startswith("application/problem+json"), answer
        assert answer.document["status"] == answer.status
        assert answer.document["code"], answer
        assert answer.document["detail"], answer
    after = worker.get("/rollout/status")
    assert after["state"] == before["state"]
    assert worker.process.poll() is None
    assert worker.fetch("/readyz").status == 200
    assert "an unexpected error" not in worker.log.read_text(errors="replace")
    kinds = Counter(answer.attempt.kind for answer in found)
    assert len(kinds) == 22, kinds
    by_status = ", ".join(
        f"{n} x {status}"
        for status, n in sorted(Counter(answer.status for answer in found).items())
    )
    figure(f"{REQUESTS} refused in {seconds:.1f} s: {by_status}; epoch {after['state']['epoch']}")


def test_any_worker_takes_a_write_and_the_owner_decides_it(
    client: Client, topics_created: Settings, start_worker: Start
) -> None:
    versions = [publish_model(topics_created, seed=seed) for seed in range(2)]
    workers = [start_worker(topics_created) for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    roles = {worker.get("/rollout/status")["owns_control"]: worker for worker in workers}
    assert set(roles) == {True, False}
    for number, asked in enumerate((roles[False], roles[True])):
        answer = asked.fetch(f"/switch?model={versions[number]}", "POST")
        assert answer.status == 200, answer
        assert answer.json()["state"]["primary_version"] == versions[number]
    stale = roles[False].fetch("/rollout/rollback?expected_epoch=0", "POST")
    assert (stale.status, stale.json()["code"]) == (409, "stale_epoch")
    histories = [worker.get("/rollout/history") for worker in workers]
    assert histories[0] == histories[1]
    assert [entry["status"] for entry in histories[0][:3]] == ["rejected", "applied", "applied"]


def test_of_fifty_who_write_at_once_one_wins_and_the_others_are_told(
    topics_created: Settings, start_worker: Start
) -> None:
    publish_model(topics_created)
    publish_model(topics_created, seed=1)
    workers = [start_worker(topics_created) for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    epoch = workers[0].get("/rollout/status")["state"]["epoch"]

    def write(number: int) -> Page:
        fields = {
            "strategy": "canary",
            "canary_version": "v0.1",
            "canary_percentage": number,
            "expected_epoch": epoch,
            "issued_by": f"operator-{number}",
        }
        return workers[number % 2].fetch("/rollout/update", "POST", fields)

    with ThreadPoolExecutor(WRITERS) as operators:
        pages = list(operators.map(write, range(1, WRITERS + 1)))
    assert Counter(page.status for page in pages) == {200: 1, 409: WRITERS - 1}
    (won,) = [page.json()["state"] for page in pages if page.status == 200]
    share = won["canary_percentage"]
    assert won["updated_by"] == f"operator-{share:g}"
    for page in pages:
        if page.status == 409:
            document = page.json()
            assert document["code"] == "stale_epoch"
            assert f"operator-{share:g} changed it at" in document["detail"]
    for worker in workers:
        wait_until(
            lambda at=worker: at.get("/rollout/status")["state"] == won, 5, f"{worker} to know"
        )


def test_with_a_token_only_its_holder_writes(topics_created: Settings, start_worker: Start) -> None:
    publish_model(topics_created)
    variables = {"RECSTREAM_API_TOKEN": "sesame"}
    worker = start_worker(topics_created, variables=variables).wait_ready()

    def write(**headers: str) -> Any:
        return worker.fetch("/switch?model=v0.1", "POST", headers=headers)

    assert write().status == 401
    assert write(Authorization="Bearer wrong").status == 401
    assert write(Authorization="Bearer sesame").status == 200
    assert worker.fetch("/rollout/history").status == 200


def test_a_request_that_never_ends_does_not_hold_up_a_worker_that_is_told_to_end(
    worker: Worker,
) -> None:
    with closing(socket.create_connection(("127.0.0.1", worker.port))) as connection:
        connection.sendall(
            b"POST /retrain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
        )
        assert worker.stop(seconds=BODY_SECONDS - 2) == 0


def test_the_history_survives_every_worker_and_is_filtered(
    worker: Worker, topics_created: Settings, start_worker: Start
) -> None:
    body = {"strategy": "canary", "canary_version": "v0.1", "canary_percentage": 5}
    worker.fetch("/rollout/update", "POST", body | {"issued_by": "anna", "reason": "a try"})
    worker.fetch("/rollout/abort", "POST", {"issued_by": "bert"})
    worker.kill()
    late = start_worker(topics_created)
    wait_until(lambda: answers(late), 30, "pages")
    # an owner that is killed right after it decided has not reported yet: the next one does
    wait_until(lambda: len(late.get("/rollout/history")) == 3, 30, "the whole history")
    history = late.get("/rollout/history")
    assert [entry["type"] for entry in history] == ["abort", "rollout", "swap"]
    assert history[1]["changes"] == [
        {"field": "strategy", "before": "fixed", "after": "canary"},
        {"field": "canary", "before": "none", "after": "v0.1"},
        {"field": "canary percentage", "before": "0 %", "after": "5 %"},
    ]
    assert [entry["type"] for entry in late.get("/rollout/history?issued_by=anna")] == ["rollout"]
    assert [entry["type"] for entry in late.get("/rollout/history?type=swap,abort&limit=1")] == [
        "abort"
    ]
    since = history[0]["at"].replace("+", "%2B")
    assert len(late.get(f"/rollout/history?since={since}")) == 1
    assert len(late.get(f"/rollout/history?until={since}")) == 2


def answers(worker: Worker) -> bool:
    try:
        return worker.fetch("/healthz").status == 200
    except OSError:
        return False


def test_the_trail_is_read_backwards_as_far_as_needed(topics_created: Settings) -> None:
    producer = Producer(client_config(topics_created))
    topic = topics_of(topics_created).control_results.name
    count = FIRST_CHUNK * (1 + CHUNK_GROWTH) + 50  # the third chunk is not a whole one
    for number in range(count):
        at = Instant(2026, 1, 1, 0, number // 60, number % 60, tzinfo=UTC)
        issuer = "anna" if number == 0 else "bert"
        result = CommandResult(f"c{number}", "swap", "production", "applied", number, issuer, at)
        producer.produce(topic, encode(result), b"production")
    producer.produce(topic, b"no result", b"production")
    elsewhere = CommandResult("s1", "swap", "staging", "applied", 9, "s", at)
    producer.produce(topic, encode(elsewhere), b"staging")
    assert producer.flush(15) == 0

    newest = trail_of(topics_created, TrailQuery("production", limit=3))
    assert [result.command_id for result in newest.results] == [f"c{count - n}" for n in (1, 2, 3)]
    assert newest.unreadable == 1
    whole = read_trail(topics_created, environment="production", limit=1000)
    assert [result.command_id for result in whole] == [f"c{n}" for n in reversed(range(count))]
    (oldest,) = read_trail(topics_created, environment="production", issued_by="anna")
    assert oldest.command_id == "c0"
    everywhere = read_trail(topics_created, environment=None, limit=1)
    assert [result.environment for result in everywhere] == ["staging"]


def test_a_recent_answer_is_traced_and_its_rule_recomputed(
    client: Client, topics_created: Settings, worker: Worker
) -> None:
    body = {"strategy": "canary", "canary_version": "v0.1", "canary_percentage": 50}
    epoch = worker.fetch("/rollout/update", "POST", body).json()["epoch"]
    wait_until(lambda: "v0.1" in worker.get("/rollout/status")["resident_versions"], 15, "v0.1")
    client.send([{"request_id": "low", "user_id": 7}, {"request_id": "high", "user_id": 93}])
    client.wait_for(["low", "high"])
    for request_id, variant in (("low", "canary"), ("high", "primary")):
        trace = wait_until(lambda at=request_id: traced(worker, at), 5, "the trace")
        assert (trace["matches"], trace["differences"]) == (True, [])
        assert (trace["explanation"]["variant"], trace["state"]["epoch"]) == (variant, epoch)
        assert trace["response"]["variant"] == variant
    assert worker.fetch("/trace/unheard-of").status == 404


def traced(worker: Worker, request_id: str) -> Any:
    page = worker.fetch(f"/trace/{request_id}")
    return page.json() if page.status == 200 else None


def test_listeners_get_changes_and_do_not_hold_up_a_stop(worker: Worker) -> None:
    with closing(HTTPConnection("127.0.0.1", worker.port, timeout=15)) as connection:
        connection.request("GET", "/events")
        stream = connection.getresponse()
        assert stream.headers["Content-Type"] == "text/event-stream"
        wait_until(lambda: "v0.3" in next_event(stream), 5, "the first event")
        worker.fetch("/switch?model=v0.2&reason=an-event-says-so", "POST")
        wait_until(lambda: "an-event-says-so" in next_event(stream), 5, "the change")
        started = time.monotonic()
        worker.process.send_signal(signal.SIGTERM)
        stream.read()
    assert worker.process.wait(20) == 0
    assert time.monotonic() - started < 8


def next_event(stream: Any) -> str:
    lines = []
    while (line := stream.readline().decode()) not in ("\n", ""):
        lines.append(line)
    return "".join(lines)
