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
from ops.bench.sides.serving_modes import ServingMode
from ops.clients import kafka_client as client
from registry.kafka.topic_reader import reading
from registry.kafka.topics import topics_of
from registry.settings import Settings

OURS: Final = "recstream, the whole job"
NOOP: Final = "stock Faust, no-op agent"
OBVIOUS: Final = "stock Faust, the same job"

BAR_NOOP: Final = 2.5
BAR_OBVIOUS: Final = 15.0
PLAIN: Final = ServingMode("one version for all", lambda first, _: {"MODEL_VERSION": first})

DRAIN_SECONDS: Final = 180.0
"""How long one process may take for its backlog."""


@dataclass(frozen=True, slots=True)
class BacklogSizes:
    """Requests in the backlog of each; slower ones get fewer, so that all take seconds."""

    ours: int = 200_000
    noop: int = 100_000
    obvious: int = 20_000
    rounds: int = 3
    modes: tuple[ServingMode, ...] = ()


QUICK: Final = BacklogSizes(ours=60_000, noop=20_000, obvious=5_000, rounds=1)


def measure(on: Ground, sizes: BacklogSizes, say: Callable[[str], None]) -> Measured:
    """Run all rounds."""
    first, second = (synthetic.publish_model(on.registry, seed) for seed in (1, 2))
    ways = {
        OURS: (answer_backlog, sizes.ours, PLAIN),
        NOOP: (_noop, sizes.noop, PLAIN),
        OBVIOUS: (_obvious, sizes.obvious, PLAIN),
        **{
            _name(mode): (answer_backlog, mode.requests or sizes.ours, mode) for mode in sizes.modes
        },
    }
    rounds: dict[str, list[tuple[float, float | None]]] = {name: [] for name in ways}
    for number in range(1, sizes.rounds + 1):
        for name, (way, requests, mode) in ways.items():
            with fresh_topics(on, "serve", **mode.variables(first, second)) as settings:
                topic = topics_of(settings).requests
                client.produce_all(settings, topic, synthetic.requests(requests))
                window, cpu_seconds = way(on, mode.prepare(settings), requests)
            cpu = None if cpu_seconds is None else cpu_seconds * 1e6 / window.records
            rounds[name].append((window.per_second, cpu))
            say(f"round {number}/{sizes.rounds}  {name}: {window.per_second:,.0f}/s")
    rates = {name: statistics.median(rate for rate, _ in seen) for name, seen in rounds.items()}
    ours, noop = rates[OURS], _median_cpu(rounds[NOOP])
    compared = {OURS, *(_name(mode) for mode in sizes.modes if mode.least_per_second is None)}
    return Measured(
        parameters={
            "model": f"{synthetic.ITEMS:,} items x {synthetic.FACTORS} factors, "
            f"{synthetic.USERS:,} users, k={synthetic.K}",
            "backlog": " / ".join(f"{requests:,}" for _, requests, _ in ways.values())
            + " requests",
            "rounds": sizes.rounds,
        },
        rows=[_row(name, rates[name], seen, ours, noop) for name, seen in rounds.items()],
        bars=[
            at_least(f"times {than}{_of(name)}", rate / rates[other], bar)
            for name, rate in rates.items()
            if name in compared
            for than, other, bar in (
                ("stock Faust's no-op", NOOP, BAR_NOOP),
                ("the obvious implementation", OBVIOUS, BAR_OBVIOUS),
            )
        ]
        + [
            at_least(f"answers/s, {mode.name}", rates[_name(mode)], mode.least_per_second)
            for mode in sizes.modes
            if mode.least_per_second is not None
        ],
        notes=["One process each, all on uvloop. The rate is taken over 40..90 % of the backlog."],
    )


def _name(mode: ServingMode) -> str:
    return f"{OURS}, {mode.name}"


def _of(name: str) -> str:
    return name.removeprefix(OURS)


def _row(
    name: str,
    rate: float,
    seen: list[tuple[float, float | None]],
    ours: float,
    noop: float | None,
) -> dict[str, Cell]:
    cpu = _median_cpu(seen)
    return {
        "one process": name,
        "requests/s": rate,
        "lowest": min(rate for rate, _ in seen),
        "highest": max(rate for rate, _ in seen),
        "CPU µs a request": cpu,
        "no-op's CPU": f"{noop / cpu:.2f}x" if noop and cpu else None,
        "recstream is": f"{ours / rate:.2f}x",
    }


def _median_cpu(seen: list[tuple[float, float | None]]) -> float | None:
    cpus = [cpu for _, cpu in seen if cpu is not None]
    return statistics.median(cpus) if cpus else None


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
