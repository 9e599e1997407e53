"""The harness itself: what other tests conclude from it is only as good as this."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.brokers import best_broker
from harness.client import Client
from harness.fresh import environment_of, fresh_settings, publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from registry.errors import TransportError
from registry.settings import read_settings
from registry.versions.store import Store
from registry.wire.requests import Request

READY_SERVER = """
import http.server, os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(b'{"child": %d}' % child.pid)
print("serving as", os.environ["RECSTREAM_WORKER"])
port = int(os.environ["RECSTREAM_HTTP_PORT"])
http.server.HTTPServer(("127.0.0.1", port), Pages).serve_forever()
"""


def test_settings_survive_the_environment_of_a_worker(tmp_path: Path) -> None:
    settings = fresh_settings("localhost:1", tmp_path, RECSTREAM_API_TOKEN="secret")

    assert read_settings(environment_of(settings)) == settings


def test_published_test_models_verify_and_count_up(tmp_path: Path) -> None:
    settings = fresh_settings("localhost:1", tmp_path)

    versions = [publish_model(settings, seed=seed) for seed in (0, 1)]

    assert versions == ["v0.1", "v0.2"]
    assert Store(settings.model_registry).verify("v0.2").version == "v0.2"


def test_the_client_collects_answers_results_and_dead_letters(client: Client) -> None:
    topics = client.topics
    client.send([Request("r1", 7), {"request_id": "r2", "user_id": 8}, b"{", None])
    client.produce(topics.responses, b'{"request_id": "r1", "status": "ok"}')
    client.produce(topics.responses, b'{"request_id": "r1", "status": "ok"}')
    client.produce(topics.dead_letter, b"{", headers={"reason": b"malformed"})
    command = client.post_command(type="swap", model_version="v0.1")
    client.produce(topics.control_results, json.dumps({"command_id": command}).encode())

    assert len(client.wait_for(["r1"])["r1"]) >= 1
    assert client.dead_letters(1)[0].headers == {"reason": b"malformed"}
    assert client.result_of(command) == {"command_id": command}
    with pytest.raises(AssertionError, match=r"1 of 1 requests without an answer .*'r2'"):
        client.wait_for(["r2"], 0.2)


def test_a_client_made_later_sees_later_answers_only(client: Client) -> None:
    client.produce(client.topics.responses, b'{"request_id": "early"}')
    with Client(client.settings) as later:
        client.produce(client.topics.responses, b'{"request_id": "late"}')
        later.wait_for(["late"])

        assert set(later.answers) == {"late"}


def test_workers_are_asked_paused_and_ended_with_their_children(
    start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    settings = fresh_settings("localhost:1", tmp_path)
    worker = start_worker(settings, "ann", arguments=("-c", READY_SERVER)).wait_ready()
    child = worker.get("/")["child"]
    worker.pause()
    worker.end()

    assert "serving as ann" in worker.tail()
    wait_until(lambda: not _is_running(child), 5, "its child to end as well")


def test_a_worker_that_ends_before_it_is_ready_is_told_with_its_log(
    start_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    settings = fresh_settings("localhost:1", tmp_path)
    worker = start_worker(settings, arguments=("-c", "raise SystemExit('no topics')"))

    with pytest.raises(AssertionError, match=r"ended with 1:\s+no topics"):
        worker.wait_ready()


def test_a_broker_that_was_named_and_does_not_answer_is_no_reason_for_another() -> None:
    named = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}

    with pytest.raises(TransportError, match=r"127\.0\.0\.1:1"), best_broker(named, seconds=0.2):
        pass


def test_in_ci_a_missing_apache_kafka_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")

    with (
        pytest.raises(TransportError, match=r"CI=true needs a real Apache Kafka"),
        best_broker({"CI": "true"}),
    ):
        pass


def _is_running(pid: int) -> bool:
    """Tell whether `pid` runs; one that has ended but was not reaped by its new parent does not."""
    asked = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return state not in ("", "Z")
