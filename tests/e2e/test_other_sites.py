"""What pages of other sites can do to a worker without a token, in a real browser: nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from harness.browsers import chromium
from harness.fresh import publish_model
from harness.workers import Worker
from playwright.sync_api import Browser, Page, Request

from registry.settings import Settings

Start = Callable[..., Worker]
REBOUND = "rebound.example"
"""A name of the attacker that leads to loopback: at first to his server, then to the worker."""

ATTACKS = {
    "image": "<img src='http://{host}:{port}/switch?model=v0.1'>",
    "link": "<a id=link href='http://{host}:{port}/switch?model=v0.1'>a prize</a>"
    "<script>document.getElementById('link').click()</script>",
    "form": "<form method=post action='http://{host}:{port}/switch?model=v0.1'></form>"
    "<script>document.forms[0].submit()</script>",
    "fetch": "<script>fetch('http://{host}:{port}/switch?model=v0.1', "
    "{{method: 'POST', mode: 'no-cors'}})</script>",
    "beacon": "<script>navigator.sendBeacon('http://{host}:{port}/switch?model=v0.1')</script>",
}
HOSTS = ("127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", REBOUND)


class _Evil(BaseHTTPRequestHandler):
    """Serves the page that its path asks for."""

    def do_GET(self) -> None:
        _, attack, host, port = self.path.split("/")
        body = ATTACKS.get(attack, "").format(host=host, port=port).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    rules = f"MAP {REBOUND} 127.0.0.1, MAP evil.example 127.0.0.1"
    with chromium(f"--host-resolver-rules={rules}") as running:
        yield running


@pytest.fixture(scope="module")
def evil() -> Iterator[int]:
    """The port of the other site."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Evil)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_no_page_of_another_site_commands_a_worker(
    topics_created: Settings,
    start_worker: Start,
    browser: Browser,
    evil: int,
    figure: Callable[[str], None],
) -> None:
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    worker = start_worker(topics_created).wait_ready()
    before = worker.get("/rollout/status")["last_command_offset"]
    reached, done = 0, []
    for host in HOSTS:
        for attack in ATTACKS:
            page = browser.new_page()
            reached += was_sent(page, evil, attack, host, worker)
            page.close()
            if (now := worker.get("/rollout/status")["last_command_offset"]) > before:
                done.append(f"{attack} to {host}")
                before = now
    assert done == []
    assert reached > len(HOSTS) * len(ATTACKS) / 2
    figure(f"{reached} of {len(HOSTS) * len(ATTACKS)} attacks reached the worker, none wrote")


def was_sent(page: Page, evil: int, attack: str, host: str, worker: Worker) -> bool:
    """Open the page, and tell whether the worker has answered what it sends.

    An answer that the browser does not give to the page, as ours forbid it, is one.
    """
    ended: list[str] = []

    def note(request: Request) -> None:
        if "/switch" in request.url:
            ended.append(request.failure or "")

    page.on("requestfinished", note)
    page.on("requestfailed", note)
    page.goto(f"http://evil.example:{evil}/{attack}/{host}/{worker.port}")
    deadline = time.monotonic() + 2
    while not ended and time.monotonic() < deadline:
        page.wait_for_timeout(20)  # lets the events above come
    return bool(ended) and (not ended[0] or "BLOCKED_BY" in ended[0])


def test_a_name_that_is_made_to_lead_here_commands_nothing(
    topics_created: Settings, start_worker: Start, browser: Browser
) -> None:
    """DNS rebinding: to the browser, the attacker's page and the worker are one origin."""
    for seed in (0, 1):
        publish_model(topics_created, seed=seed)
    worker = start_worker(topics_created).wait_ready()
    before = worker.get("/rollout/status")
    page = browser.new_page(bypass_csp=True)  # as the attacker's own page would come: without ours
    page.goto(f"http://{REBOUND}:{worker.port}/healthz")
    command = "path => fetch(path, {method: 'POST'}).then(answer => answer.status)"
    for path in ("/switch?model=v0.1", "/rollout/rollback", "/retrain"):
        assert page.evaluate(command, path) == 403
    page.close()
    assert worker.get("/rollout/status") == before
