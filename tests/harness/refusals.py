"""Ten thousand ways to be refused: HTTP requests of every kind that no worker may take.

Seeded, so that a failure can be repeated. Each request is bytes, with the statuses that are right
for it; only what *must* be refused is made here.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

POST_ONLY = ("update", "promote", "rollback", "abort", "pause", "resume", "begin-era")
WRITES = (*(f"/rollout/{name}" for name in POST_ONLY), "/switch", "/retrain")
READS = (
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/rollout/status",
    "/fleet",
    "/training",
    "/models",
)
JSON = {"Content-Type": "application/json"}
ANSWER_SECONDS = 20


class Attempt(NamedTuple):
    """One request; `kind` is what is wrong with it, `statuses` what it may be answered with."""

    kind: str
    payload: bytes
    statuses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What came back; `document` is None where it was no JSON."""

    attempt: Attempt
    status: int
    content_type: str
    document: Any
    text: str


def a_request(
    method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> bytes:
    given = {"Host": "127.0.0.1"} | (headers or {})
    if "Transfer-Encoding" not in given:
        given["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape") + body


class Refusals:
    """Makes attempts from a seed; each method is one kind."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def attempts(self, count: int) -> Iterator[Attempt]:
        """Yield `count` attempts; those that cost the worker more come less often."""
        often: Sequence[Callable[[], Attempt]] = (
            self.unknown_path, self.wrong_method, self.broken_json, self.no_object,
            self.unknown_field, self.wrong_type, self.bad_number, self.bad_query, self.bad_ramp,
            self.wrong_content_type, self.cross_site, self.bad_history, self.chunked,
            self.unknown_trace, self.bad_form,
        )  # fmt: skip
        seldom = (
            self.too_large, self.long_path, self.large_headers, self.compressed, self.no_http,
            self.refused_by_the_rules, self.deep,
        )  # fmt: skip
        for number in range(count):
            yield self._random.choice(seldom if number % 12 == 0 else often)()

    def text(self, most: int = 30) -> str:
        alphabet = string.printable + "äß漢字🙂\u2028\u202e\x00\x7f\ufeff"
        return "".join(self._random.choices(alphabet, k=self._random.randint(1, most)))

    def quoted(self, most: int = 20) -> str:
        """Bytes of any kind, percent-encoded: valid in a path or query, whatever they mean."""
        return "".join(f"%{byte:02X}" for byte in self._random.randbytes(most))

    def junk(self, depth: int = 3) -> Any:
        """Any JSON value."""
        kinds: list[Callable[[], Any]] = [
            lambda: None,
            lambda: self._random.random() < 0.5,
            lambda: self._random.randint(-(10**20), 10**20),
            lambda: self._random.uniform(-1e300, 1e300),
            self.text,
        ]
        if depth:
            kinds += [
                lambda: [self.junk(depth - 1) for _ in range(self._random.randint(0, 4))],
                lambda: {self.text(8): self.junk(depth - 1) for _ in range(3)},
            ]
        return self._random.choice(kinds)()

    def write(
        self, kind: str, body: bytes, statuses: tuple[int, ...] = (422,), query: str = ""
    ) -> Attempt:
        path = self._random.choice(WRITES) + query
        return Attempt(kind, a_request("POST", path, body, JSON), statuses)

    def unknown_path(self) -> Attempt:
        method = self._random.choice(("GET", "POST", "PUT", "HEAD", "DELETE"))
        path = "/nothing/" + self.quoted()
        return Attempt("unknown path", a_request(method, path), (404,))

    def wrong_method(self) -> Attempt:
        method = self._random.choice(("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "LINK"))
        path = self._random.choice((*READS, *WRITES))
        if self._random.random() < 0.5:
            name = self._random.choice(POST_ONLY)
            method, path = (
                self._random.choice(("GET", "HEAD")),
                f"/rollout/{name}?canary_version=v0.1",
            )
        return Attempt("wrong method", a_request(method, path), (405,))

    def broken_json(self) -> Attempt:
        whole = json.dumps({"reason": self.text(), "canary_percentage": 5, "x": self.junk()})
        cut = whole.encode()[: self._random.randint(1, len(whole) - 1)]
        body = self._random.choice(
            (
                cut.decode(errors="ignore").encode().rstrip(b"}"),
                b"\xff" + whole.encode(),
                whole.replace(":", "=", 1).encode(),
                whole.encode() + b"}",
                b"\x00" * self._random.randint(1, 50),
                b'{"reason": "\\ud800"}',
                b'{"canary_percentage": NaN}',
                self._random.randbytes(40).lstrip(b'{["0123456789tfn- \t\r\n') + b"\x01",
            )
        )
        return self.write("broken JSON", body)

    def no_object(self) -> Attempt:
        value = self.junk()
        body = json.dumps([value] if isinstance(value, dict) else value).encode()
        return self.write("no object", body)

    def unknown_field(self) -> Attempt:
        body = {"reason": self.text(), f"x{self.text(8)}": self.junk()}
        return self.write("unknown field", json.dumps(body).encode())

    def wrong_type(self) -> Attempt:
        name = self._random.choice(("command_id", "issued_by", "environment"))
        value = self._random.choice((7, 1.5, True, None, [], {}, [self.text()], "", "x" * 201))
        return self.write("wrong type", json.dumps({name: value}).encode())

    def bad_number(self) -> Attempt:
        number = self._random.choice(
            ("1e999", "-1e999", "1.5", str(2**63), "-2", "9" * 400, "true", '"5"', "[5]", "0x10")
        )
        return self.write("bad number", f'{{"expected_epoch": {number}}}'.encode())

    def bad_query(self) -> Attempt:
        query = self._random.choice(
            (
                f"?x{self.quoted()}=1",
                "?reason=%FF%FE",
                "?reason=a&reason=b",
                "?expected_epoch=nan",
                "?expected_epoch=" + self.quoted(4),
                "?environment=",
                "?command_id=" + "x" * 201,
                "?" + "&".join(f"a{n}=" for n in range(150)),
                "?factors=-1&canary_percentage=5",
            )
        )
        return self.write("bad query", b"", query=query)

    def bad_ramp(self) -> Attempt:
        value = self.junk()
        ramp = self._random.choice(
            (
                [value],
                {"steps": [], "hold_seconds": 1},
                {"steps": [101], "hold_seconds": 1},
                {"steps": [5, -1], "hold_seconds": 1},
                {"steps": [5], "hold_seconds": -1},
                {"steps": [5], "hold_seconds": 1, "guardrails": {"error_rate": 2}},
                {"steps": [5], "hold_seconds": 1, f"x{self.text(5)}": value},
                {"steps": list(range(1, 200)), "hold_seconds": 1},
                {"steps": "5", "hold_seconds": 1},
            )
        )
        body = json.dumps({"canary_version": "v0.1", "ramp": ramp}).encode()
        return Attempt("bad ramp", a_request("POST", "/rollout/update", body, JSON), (422,))

    def bad_form(self) -> Attempt:
        body = self._random.choice(
            (f"x{self.quoted()}=1".encode(), b"reason=%ff", b"reason=\xff", b"reason=a&reason=b")
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        path = self._random.choice(WRITES)
        return Attempt("bad form", a_request("POST", path, body, headers), (422,))

    def wrong_content_type(self) -> Attempt:
        kind = self._random.choice(
            ("text/plain", "application/xml", "multipart/form-data; boundary=x", "a/b; c=d", "/",
             "x", "application/json; charset=utf-16", "application/octet-stream")
        )  # fmt: skip
        path = self._random.choice(WRITES)
        request = a_request("POST", path, b'{"reason": "x"}', {"Content-Type": kind})
        return Attempt("wrong content type", request, (415,))

    def cross_site(self) -> Attempt:
        headers = self._random.choice(
            ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"},
             {"Origin": "null"}, {"Host": "evil.example"}, {"Host": "0.0.0.0:6066"},
             {"Host": "[::ffff:127.0.0.1]"}, {"X-Forwarded-For": "203.0.113.5"},
             {"X-Real-IP": "203.0.113.5"}, {"Via": "1.1 proxy"})
        )  # fmt: skip
        method, path = self._random.choice(
            (("POST", "/rollout/rollback"), ("GET", "/switch?model=v0.1"), ("POST", "/retrain"))
        )
        return Attempt("cross site", a_request(method, path, b"", headers), (403,))

    def bad_history(self) -> Attempt:
        query = self._random.choice(
            ("limit=0", "limit=1e9", "limit=-1", "type=" + self.quoted(3), "since=yesterday",
             "since=2026-13-01", "until=" + self.quoted(), "x=1", "limit=1&limit=2",
             "since=2026-01-02&until=2026-01-01")
        )  # fmt: skip
        return Attempt("bad history", a_request("GET", f"/rollout/history?{query}"), (422,))

    def unknown_trace(self) -> Attempt:
        path = f"/trace/{self.quoted(self._random.randint(1, 300))}"
        return Attempt("unknown trace", a_request("GET", path), (404,))

    def chunked(self) -> Attempt:
        whole = json.dumps({f"x{self.text(5)}": self.junk()}).encode()
        size = self._random.randint(1, 40)
        chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        headers = JSON | {"Transfer-Encoding": "chunked"}
        path = self._random.choice(WRITES)
        return Attempt("chunked", a_request("POST", path, body, headers), (422,))

    def too_large(self) -> Attempt:
        size = self._random.choice((65_537, 100_000, 1_000_000))
        return self.write("too large", b'{"reason": "' + b"x" * size + b'"}', (413,))

    def deep(self) -> Attempt:
        opening = self._random.choice((b"[", b'{"a":'))
        body = b'{"ramp": ' + (opening * 65_000)[: self._random.randint(2_000, 60_000)]
        return self.write("deep", body)

    def long_path(self) -> Attempt:
        path = "/healthz?" + "x" * self._random.randint(8_200, 30_000)
        return Attempt("long path", a_request("GET", path), (414,))

    def large_headers(self) -> Attempt:
        headers = {f"X-{n}": "x" * 6_000 for n in range(self._random.randint(3, 8))}
        return Attempt("large headers", a_request("GET", "/healthz", b"", headers), (431,))

    def compressed(self) -> Attempt:
        bomb = gzip.compress(b" " * 3_000_000)
        body = self._random.choice((bomb, b"\x1f\x8bno gzip"))
        headers = JSON | {"Content-Encoding": "gzip"}
        path = self._random.choice(WRITES)
        return Attempt("compressed", a_request("POST", path, body, headers), (415,))

    def refused_by_the_rules(self) -> Attempt:
        """These go through the control topic."""
        path, statuses = self._random.choice(
            (
                ("/rollout/promote", (422,)),
                ("/rollout/pause", (422,)),
                ("/rollout/update", (422,)),
                ("/rollout/update?canary_percentage=101", (422,)),
                ("/rollout/update?strategy=sideways", (422,)),
                ("/switch?model=v9.9", (422,)),
                ("/switch?model=../../etc/passwd", (422,)),
                ("/rollout/rollback?expected_epoch=999999", (409,)),
                ("/retrain?expected_epoch=999999", (409,)),
            )
        )
        return Attempt("refused by the rules", a_request("POST", path), statuses)

    def no_http(self) -> Attempt:
        """These are refused before there is a request: 400, and the connection ends."""
        payload = self._random.choice(
            (
                b"GET / HTTP/9.9\r\n\r\n",
                b"G\xe4T / HTTP/1.1\r\nHost: x\r\n\r\n",
                b"POST /retrain HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                b"POST /retrain HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                b"POST /retrain HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 70_000 + b"\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS, perhaps\r\n\r\n",
                self._random.randbytes(60) + b"\r\n\r\n",
            )
        )
        return Attempt("no HTTP", payload, (400,))


async def refused(port: int, attempts: Iterator[Attempt], connections: int = 4) -> list[Refusal]:
    """Send `attempts` over a few keep-alive connections, and return what each was answered."""
    found: list[Refusal] = []

    async def send_some() -> None:
        streams = None
        for attempt in attempts:  # shared: each connection takes the next
            if streams is None:
                streams = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
            async with asyncio.timeout(ANSWER_SECONDS):
                refusal, goes_on = await _send(*streams, attempt)
            found.append(refusal)
            if not goes_on:
                streams[1].close()
                streams = None
        if streams is not None:
            streams[1].close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(send_some())
    return found


async def _send(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, attempt: Attempt
) -> tuple[Refusal, bool]:
    writer.write(attempt.payload)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head)
    }
    status = int(head[0].split()[1])
    is_head = attempt.payload.startswith(b"HEAD ")
    body = b"" if is_head else await reader.readexactly(int(headers.get("content-length", "0")))
    kind = headers.get("content-type", "")
    document = json.loads(body) if body and "json" in kind else None
    goes_on = headers.get("connection", "keep-alive") != "close" and status not in (400, 413, 415)
    return Refusal(attempt, status, kind, document, body.decode()), goes_on
