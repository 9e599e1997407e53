"""``bench serve``: one worker's whole job, against stock Faust doing nothing and doing it plainly.

A backlog waits in the request topic, then the process starts. Rounds alternate between the three,
so that what disturbs the machine disturbs all of them; medians are compared. Knows the three; must
not know how answers are read.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from ops.bench.rig import synthetic
from ops.bench.rig.answer_reader import answered, read_answers
from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured
from ops.bench.rig.figures import Window, at_least, sustained
from ops.bench.rig.ground import Ground, fresh_topics, process, wait_until, worker
from ops.bench.rig.machine import CpuSamples
from ops.bench.sides.reference_noop import EACH
from ops.clients import kafka_client as client
from registry.kafka.topic_reader import reading
from registry.kafka.topics import topics_of
from registry.settings import Settings

OURS: Final = "recstream, the whole job"
NOOP: Final = "stock Faust, no-op agent"
OBVIOUS: Final = "stock Faust, the same job"

BAR_NOOP: Final = 2.5
BAR_OBVIOUS: Final = 15.0
DRAIN_SECONDS: Final = 180.0
"""How long one process may take for its backlog."""


@dataclass(frozen=True, slots=True)
class BacklogSizes:
    """Requests in the backlog of each; slower ones get fewer, so that all take seconds."""

    ours: int = 200_000
    noop: int = 100_000
    obvious: int = 20_000
    rounds: int = 3


QUICK: Final = BacklogSizes(ours=60_000, noop=20_000, obvious=5_000, rounds=1)


def measure(on: Ground, sizes: BacklogSizes, say: Callable[[str], None]) -> Measured:
    """Run all rounds."""
    synthetic.publish_model(on.registry, seed=1)
    ways = {
        OURS: (answer_backlog, sizes.ours),
        NOOP: (_noop, sizes.noop),
        OBVIOUS: (_obvious, sizes.obvious),
    }
    rounds: dict[str, list[tuple[float, float | None]]] = {name: [] for name in ways}
    for number in range(1, sizes.rounds + 1):
        for name, (way, requests) in ways.items():
            with fresh_topics(on, "serve") as settings:
                topic = topics_of(settings).requests
                client.produce_all(settings, topic, synthetic.requests(requests))
                window, cpu_seconds = way(on, settings, requests)
            cpu = None if cpu_seconds is None else cpu_seconds * 1e6 / window.records
            rounds[name].append((window.per_second, cpu))
            say(f"round {number}/{sizes.rounds}  {name}: {window.per_second:,.0f}/s")
    rates = {name: statistics.median(rate for rate, _ in seen) for name, seen in rounds.items()}
    ours = rates[OURS]
    return Measured(
        parameters={
            "model": f"{synthetic.ITEMS:,} items x {synthetic.FACTORS} factors, "
            f"{synthetic.USERS:,} users, k={synthetic.K}",
            "backlog": f"{sizes.ours:,} / {sizes.noop:,} / {sizes.obvious:,} requests",
            "rounds": sizes.rounds,
        },
        rows=[_row(name, rates[name], seen, ours) for name, seen in rounds.items()],
        bars=[
            at_least("times stock Faust's no-op", ours / rates[NOOP], BAR_NOOP),
            at_least("times the obvious implementation", ours / rates[OBVIOUS], BAR_OBVIOUS),
        ],
        notes=["One process each, all on uvloop. The rate is taken over 40..90 % of the backlog."],
    )


def _row(
    name: str, rate: float, seen: list[tuple[float, float | None]], ours: float
) -> dict[str, Cell]:
    cpus = [cpu for _, cpu in seen if cpu is not None]
    return {
        "one process": name,
        "requests/s": rate,
        "lowest": min(rate for rate, _ in seen),
        "highest": max(rate for rate, _ in seen),
        "CPU µs a request": statistics.median(cpus) if cpus else None,
        "recstream is": f"{ours / rate:.2f}x",
    }


Outcome = tuple[Window, float | None]


def answer_backlog(on: Ground, settings: Settings, requests: int) -> Outcome:
    """Let one worker answer the backlog; return the window that counts, and its CPU seconds."""
    with worker(on, settings) as (pid, _):
        return _all_answered(on, settings, requests, pid)


def _obvious(on: Ground, settings: Settings, requests: int) -> Outcome:
    with process(on, "obvious", settings, "-m", "ops.bench.sides.reference_obvious") as pid:
        return _all_answered(on, settings, requests, pid)


def _noop(on: Ground, settings: Settings, requests: int) -> Outcome:
    path = on.group.folder / f"{settings.topic_prefix}.json"
    words = ("-m", "ops.bench.sides.reference_noop", str(requests), str(path))
    with process(on, "noop", settings, *words) as pid:
        cpu = _wait_sampling(on, pid, path.exists)
    window = sustained(np.array(msgspec.json.decode(path.read_bytes(), type=list[float])), EACH)
    return window, cpu.process_seconds(window)


def _all_answered(on: Ground, settings: Settings, requests: int, pid: int) -> Outcome:
    with _counting(settings) as count:
        cpu = _wait_sampling(on, pid, lambda: count() >= requests)
    window = sustained(read_answers(settings, requests).times_ms)
    return window, cpu.process_seconds(window)


@contextmanager
def _counting(settings: Settings) -> Iterator[Callable[[], int]]:
    with reading(settings, topics_of(settings).responses) as consumer:
        consumer.pause(consumer.assignment())
        yield lambda: answered(consumer)


def _wait_sampling(on: Ground, pid: int, done: Callable[[], bool]) -> CpuSamples:
    cpu = CpuSamples([pid])

    def look() -> bool:
        cpu.take()
        return done()

    wait_until(on, look, "the backlog to be done", DRAIN_SECONDS)
    return cpu
