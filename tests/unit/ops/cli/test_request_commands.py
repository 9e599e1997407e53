"""What ``recstream request`` asks a worker for, by its options."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import typer

from ops.cli.main import app
from ops.cli.request_options import session_items_of
from ops.docs.cli_page import built
from registry.wire.codec import decode, encode
from registry.wire.requests import Request, SessionItem
from registry.wire.responses import Provenance, Response


class Worker(HTTPServer):
    """Answers each request, and keeps it."""

    asked: list[Request]


class Answers(BaseHTTPRequestHandler):
    server: Worker

    def do_POST(self) -> None:
        request = decode(Request, self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(request)
        answer = Response("r", request.user_id, "ok", Provenance("production", "w1"))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(encode(answer))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker(("127.0.0.1", 0), Answers) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_string_ids_are_those_of_user_and_items_alike(worker: Worker) -> None:
    words = ["7", "--candidate", "1", "--like", "2", "--item", "3:rate=4"]
    url = f"http://127.0.0.1:{worker.server_port}"
    for more in ([], ["--string-id"]):
        built(app)(["request", *words, *more, "--http", url], standalone_mode=False)

    found = [(asked.user_id, asked.candidates, asked.like, asked.items) for asked in worker.asked]
    assert found == [
        (7, [1], [2], [SessionItem(3, "rate", 4.0)]),
        ("7", ["1"], ["2"], [SessionItem("3", "rate", 4.0)]),
    ]


def test_an_item_id_may_have_a_colon_where_the_event_is_named() -> None:
    assert session_items_of(["film:7:watch"]) == [SessionItem("film:7", "watch")]
    with pytest.raises(typer.BadParameter, match="film:7"):
        session_items_of(["film:7"])
