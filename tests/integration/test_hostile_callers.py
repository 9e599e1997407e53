"""Callers of a real worker's pages that mean harm: answers go on, and their connections end."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness.client import Answer, Client
from harness.fresh import publish_model
from harness.traffic import Traffic
from harness.waiting import wait_until
from harness.workers import Worker

from registry.settings import Settings
from streams.http.admission.connections import MOST_CONNECTIONS
from streams.http.admission.slow_callers import STUCK_MILLISECONDS

Start = Callable[..., Worker]
BOMB_BYTES = 300_000_000
SLOW = 900
"""Connections: below a usual limit of 1,024 file descriptors."""
END_SECONDS = 30
LATE_MS = 1_000.0
"""Longest that an answer may take beside an attack; the bomb took 8 s where it was unpacked."""


@pytest.fixture
def worker(topics_created: Settings, start_worker: Start) -> Worker:
    """A worker with a token, which the callers do not have."""
    publish_model(topics_created)
    token = {"RECSTREAM_API_TOKEN": "sesame"}
    return start_worker(topics_created, variables=token).wait_ready()


def latencies(answers: Sequence[Answer]) -> list[float]:
    """Return the milliseconds from each request's record to its answer, sorted."""
    return sorted(answer["provenance"]["latency_ms"] for answer in answers)


def test_a_compressed_bomb_is_not_unpacked_and_delays_no_answer(
    client: Client, worker: Worker, figure: Callable[[str], None]
) -> None:
    bomb = gzip.compress(bytes(BOMB_BYTES), 9)
    targets = [("GET", "/healthz"), ("POST", "/rollout/update"), ("GET", "/"), ("POST", "/retrain")]

    async def send(method: str, path: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Encoding: gzip\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(bomb)}\r\n\r\n"
        )
        writer.write(head.encode() + bomb)
        line = await reader.readline()
        writer.close()
        return line

    async def send_all() -> list[bytes]:
        return await asyncio.gather(*(send(*target) for target in targets))

    with Traffic(client, range(1, 50), 100) as traffic:
        traffic.wait_for_more(1)
        lines = asyncio.run(send_all())
        traffic.wait_for_more(1)
        waits = latencies(traffic.answers())
    assert [line.split()[1] for line in lines] == [b"415"] * len(targets)
    assert waits[-1] < LATE_MS
    figure(f"{len(bomb):,} bytes for {BOMB_BYTES:,}, four times: latest answer {waits[-1]:.0f} ms")


def test_nine_hundred_slow_connections_end_and_delay_neither_answers_nor_probes(
    client: Client, worker: Worker, figure: Callable[[str], None]
) -> None:
    openings = (
        (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ", b"x"),
        (b"POST /retrain HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\n", b"x"),
        (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b""),
        (b"", b""),
    )
    probes: list[float] = []

    async def probe() -> None:
        while True:
            began = time.monotonic()
            page = await asyncio.to_thread(worker.fetch, "/readyz")
            assert page.status == 200
            probes.append(time.monotonic() - began)
            await asyncio.sleep(0.5)

    async def attack() -> float:
        began = time.monotonic()
        probing = asyncio.create_task(probe())
        slow = [trickle(worker.port, *openings[n % len(openings)]) for n in range(SLOW)]
        await asyncio.wait_for(asyncio.gather(*slow), 3 * END_SECONDS)
        probing.cancel()
        return time.monotonic() - began

    with Traffic(client, range(1, 50), 100) as traffic:
        traffic.wait_for_more(1)
        seconds = asyncio.run(attack())
        waits = latencies(traffic.answers())
    assert seconds < END_SECONDS
    assert waits[-1] < LATE_MS
    assert max(probes) < LATE_MS / 1000
    figure(
        f"{SLOW} slow connections ended within {seconds:.1f} s; answers: median "
        f"{waits[len(waits) // 2]:.0f} ms, latest {waits[-1]:.0f} ms; slowest of {len(probes)} "
        f"probes {1000 * max(probes):.0f} ms"
    )


async def trickle(port: int, opening: bytes, drop: bytes) -> None:
    """Send `opening`, then `drop` every second; return when the worker has ended the connection."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(opening)
        ended = asyncio.create_task(reader.read())
        while not ended.done():
            await asyncio.wait([ended], timeout=1)
            if not ended.done():
                writer.write(drop)
        await ended
        writer.close()
    except ConnectionError:
        pass


def test_the_oldest_idle_connection_makes_room_for_a_new_one(worker: Worker) -> None:
    with ExitStack() as ends:
        address = ("127.0.0.1", worker.port)
        held = [
            ends.enter_context(socket.create_connection(address, 5))
            for _ in range(MOST_CONNECTIONS)
        ]
        assert worker.fetch("/healthz").status == 200
        assert has_ended(held[0])
        held[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert held[-1].recv(12) == b"HTTP/1.1 200"


def test_a_reader_that_takes_nothing_is_cut_off(worker: Worker) -> None:
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        reader.connect(("127.0.0.1", worker.port))
        reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 100)
        other = reader.getsockname()[1]
        wait_until(lambda: is_connected(worker.port, other), 5, "the connection")
        seconds = STUCK_MILLISECONDS / 1000 + END_SECONDS
        wait_until(lambda: not is_connected(worker.port, other), seconds, "its end")


def has_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def is_connected(port: int, other: int) -> bool:
    """Tell whether the worker's kernel still holds the connection from port `other`."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = {(row[1].split(":")[1], row[2].split(":")[1]) for row in rows}
    return (f"{port:04X}", f"{other:04X}") in ends
