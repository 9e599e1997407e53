"""``bench client``: what the Python client and HTTP add to a bare round trip through Kafka.

The same requests at the same steady rate, by turns: with nothing but a producer and a consumer, by
the client for asyncio, by the client for threads, and over a worker's HTTP. Only the way whose turn
it is has a connection, and each turn begins with another way: what else the machine does hits all
alike. Knows the ways; must not know how a client works.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import aiohttp
import numpy as np
from confluent_kafka import Producer

from ops.bench.rig import synthetic
from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured
from ops.bench.rig.figures import Times, at_most, latency_of
from ops.bench.rig.ground import Ground, fresh_topics, wait_until_ready, worker
from registry.asking.async_client import AsyncClient
from registry.asking.blocking_client import Client
from registry.asking.librdkafka_clients import PRODUCER
from registry.asking.request_bytes import encode_request
from registry.connection.client_config import client_config
from registry.kafka.topic_reader import QUIET, reading
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.requests import Request

RATE: Final = 200
"""Requests a second."""

TURNS: Final = 8
SECONDS: Final = 6.0
QUICK_SECONDS: Final = 1.0
WARM_SECONDS: Final = 3.0
"""Not counted, at the start of each turn: a producer takes up to a second for its first record."""

WARM_REQUESTS: Final = round(RATE * WARM_SECONDS)
ANSWER_SECONDS: Final = 10.0
THREADS: Final = 32
BAR_MS: Final = 1.0

ID: Final = slice(15, 51)
"""Where an answer has its request's id, a UUID: right behind ``{"request_id":"``."""

BARE, ASYNC, BLOCKING, HTTP = "bare", "AsyncClient", "Client", "HTTP"

Ask = Callable[[int], Awaitable[object]]


def measure(on: Ground, seconds: float, say: Callable[[str], None]) -> Measured:
    """Run all ways by turns on one worker."""
    version = synthetic.publish_model(on.registry, 1)
    times: dict[str, list[list[float]]] = {name: [] for name in (BARE, ASYNC, BLOCKING, HTTP)}
    with (
        fresh_topics(on, "client", MODEL_VERSION=version) as settings,
        worker(on, settings) as (_, url),
    ):
        wait_until_ready(on, url)
        ways: Mapping[str, Callable[[], Iterator[float]]] = {
            BARE: lambda: _bare(settings, seconds),
            ASYNC: lambda: iter(asyncio.run(_by_async_client(settings, seconds))),
            BLOCKING: lambda: iter(_by_blocking_client(settings, seconds)),
            HTTP: lambda: iter(asyncio.run(_by_http(url, seconds))),
        }
        for turn in range(TURNS):
            for name in sorted(ways, key=lambda name: (list(ways).index(name) - turn) % len(ways)):
                times[name].append(list(ways[name]()))
                say(f"turn {turn + 1}, {name}: p50 {np.median(times[name][-1]):.2f} ms")
    added = {name: _added(found, times[BARE]) for name, found in times.items()}
    rows = [_row(name, np.concatenate(found), added[name]) for name, found in times.items()]
    return Measured(
        parameters={"rate": f"{RATE}/s", "each way": f"{TURNS} turns of {seconds:g} s"},
        rows=rows,
        bars=[
            at_most(f"ms that {name} adds to the bare p50", float(np.median(added[name])), BAR_MS)
            for name in (ASYNC, BLOCKING)
        ],
        notes=[
            "From the call to the answer in the caller's hands. Bare: until the consumer's thread "
            "sees the record with the request's id; nothing is decoded, nobody is woken. Added: "
            "the median of the turns' differences between their two p50s; by turn: "
            f"the least and the most. The first {WARM_SECONDS:g} s of each turn are not counted."
        ],
    )


def _added(by_turn: Sequence[Sequence[float]], bare: Sequence[Sequence[float]]) -> list[float]:
    """Return the differences of the p50s of each turn, in milliseconds.

    >>> _added([[2.0], [30.0], [3.0]], [[1.0], [1.0], [2.5]])
    [1.0, 29.0, 0.5]
    """
    return [
        float(np.median(way) - np.median(base)) for way, base in zip(by_turn, bare, strict=True)
    ]


def _row(name: str, times_ms: Times, added_ms: Sequence[float]) -> dict[str, Cell]:
    latency = latency_of(times_ms)
    return {
        "way": name,
        "requests": len(times_ms),
        "p50 ms": latency.p50_ms,
        "p99 ms": latency.p99_ms,
        "p50 added ms": float(np.median(added_ms)),
        "by turn": f"{min(added_ms):.2f} to {max(added_ms):.2f}",
    }


def _bare(settings: Settings, seconds: float) -> Iterator[float]:
    """Yield the milliseconds of each round trip of a producer and a consumer."""
    topics = topics_of(settings)
    sent: dict[bytes, float] = {}
    seen: dict[bytes, float] = {}
    stop = threading.Event()
    producer = Producer(client_config(settings) | QUIET | dict(PRODUCER))
    with reading(settings, topics.responses) as consumer:

        def read() -> None:
            while not stop.is_set():
                message = consumer.poll(0.1)
                if message is not None and message.error() is None:
                    seen[(message.value() or b"")[ID]] = time.perf_counter()
                producer.poll(0)

        reader = threading.Thread(target=read)
        reader.start()
        for number in _ticks(seconds):
            request = Request(str(uuid.uuid4()), number % synthetic.USERS, k=synthetic.K)
            payload = encode_request(request, ANSWER_SECONDS)
            sent[request.request_id.encode()] = time.perf_counter()
            producer.produce(topics.requests.name, payload, str(request.user_id).encode())
        deadline = time.monotonic() + ANSWER_SECONDS
        while len(sent.keys() & seen.keys()) < len(sent) and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        reader.join()
    producer.flush(ANSWER_SECONDS)
    for request_id in list(sent)[WARM_REQUESTS:]:
        yield (seen[request_id] - sent[request_id]) * 1000


async def _by_async_client(settings: Settings, seconds: float) -> list[float]:
    async with AsyncClient(**_arguments(settings)) as client:
        return await _driven(lambda user: client.ask(user, k=synthetic.K), seconds)


async def _by_http(url: str, seconds: float) -> list[float]:
    async with aiohttp.ClientSession() as session:

        async def ask(user: int) -> None:
            async with session.get(f"{url}/recommend/{user}?k={synthetic.K}") as answer:
                answer.raise_for_status()
                await answer.json()

        return await _driven(ask, seconds)


def _by_blocking_client(settings: Settings, seconds: float) -> list[float]:
    def ask(user: int) -> float:
        began = time.perf_counter()
        client.ask(user, k=synthetic.K)
        return (time.perf_counter() - began) * 1000

    with Client(**_arguments(settings)) as client, ThreadPoolExecutor(THREADS) as threads:
        asked = [threads.submit(ask, number % synthetic.USERS) for number in _ticks(seconds)]
    return [future.result() for future in asked][WARM_REQUESTS:]


async def _driven(ask: Ask, seconds: float) -> list[float]:
    async def timed(user: int) -> float:
        began = time.perf_counter()
        await ask(user)
        return (time.perf_counter() - began) * 1000

    started = time.perf_counter()
    tasks = []
    for number in range(WARM_REQUESTS + round(RATE * seconds)):
        await asyncio.sleep(max(0.0, started + number / RATE - time.perf_counter()))
        tasks.append(asyncio.create_task(timed(number % synthetic.USERS)))
    return (await asyncio.gather(*tasks))[WARM_REQUESTS:]


def _ticks(seconds: float) -> Iterator[int]:
    """Yield a number at each moment at which a request is due, those to warm up with included."""
    started = time.perf_counter()
    for number in range(WARM_REQUESTS + round(RATE * seconds)):
        time.sleep(max(0.0, started + number / RATE - time.perf_counter()))
        yield number


def _arguments(settings: Settings) -> dict[str, Any]:
    config = client_config(settings)
    return {
        "bootstrap_servers": config.pop("bootstrap.servers"),
        "topic_prefix": settings.topic_prefix,
        "config": config,
    }
