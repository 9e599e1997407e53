import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import pytest
from harness.cells import each_cell
from msgspec import Struct
from msgspec.structs import fields

from ops.clients import worker_pages as pages
from ops.clients.fleet_observer import observe_worker
from registry.errors import TransportError
from registry.wire.instants import Instant, write_instant
from registry.wire.ramp_values import Finding, Ramp, RampState
from registry.wire.rollout_state import RolloutState
from streams.http import documents

RAMP = RampState(Ramp((10.0, 100.0), 60), "r1", 1, Instant.read("2026-01-01T00:00:00+00:00"))
RAMPING = RolloutState("production", 7, "canary", "v0.1", "v0.2", 10.0, ramp=RAMP)
LOOK = documents.RampLook(
    "stepping", 10.0, "early", "pass", "hold", 5.0, (Finding("workers", "pass", "all"),)
)


class Worker(HTTPServer):
    """Answers as a worker does, from a table."""

    answers: dict[str, Struct]
    token = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Worker

    def do_GET(self) -> None:
        if self.server.token not in self.headers.get("Authorization", ""):
            self.send_error(401)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(
            msgspec.json.encode(self.server.answers[self.path], enc_hook=write_instant)
        )

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@each_cell(
    ("read", "answered"),
    [
        (pages.ReadinessPage, documents.Readiness),
        (pages.RolloutPage, documents.RolloutStatus),
        (pages.FleetPage, documents.Fleet),
    ],
)
def test_what_is_read_of_a_page_is_what_a_worker_answers(
    read: type[Struct], answered: type[Struct]
) -> None:
    theirs = {field.name: field.type for field in fields(answered)}
    assert {field.name: field.type for field in fields(read)}.items() <= theirs.items()


@pytest.mark.parametrize(("epoch", "look"), [(7, LOOK), (8, None)])
def test_a_worker_tells_the_verdicts_of_now_unless_they_are_of_another_state(
    worker: Worker, epoch: int, look: documents.RampLook | None
) -> None:
    worker.answers = {
        "/rollout/status": pages.RolloutPage(RAMPING, 7),
        "/fleet": pages.FleetPage(epoch, LOOK),
    }
    seen = observe_worker(worker.url)
    assert (seen.state, seen.ramp) == (RAMPING, look)


def test_without_a_ramp_a_worker_is_not_asked_about_one(worker: Worker) -> None:
    fixed = RolloutState("production", 7, "fixed", "v0.1")
    worker.answers = {"/rollout/status": pages.RolloutPage(fixed, 7)}
    assert observe_worker(worker.url).state == fixed


def test_the_token_for_reading_is_sent_and_asked_for(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.answers = {"/readyz": pages.ReadinessPage()}
    worker.token = "peek"
    with pytest.raises(TransportError, match="HTTP 401; set RECSTREAM_READ_TOKEN"):
        pages.readiness(worker.url)
    monkeypatch.setenv("RECSTREAM_READ_TOKEN", "peek")
    assert pages.readiness(worker.url) == pages.ReadinessPage()
