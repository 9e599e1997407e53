"""``bench scale``: two workers against one, on the same backlog.

The workers are ready before the backlog is sent, so that no rebalance falls into the measurement.
Knows how many workers there are; must not know how answers are read.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from ops.bench.rig import synthetic
from ops.bench.rig.answer_reader import FirstAnswers, answered, read_answers
from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured
from ops.bench.rig.figures import SATURATED, Window, at_least, sustained, where_cores_allow
from ops.bench.rig.ground import Ground, fresh_topics, wait_until, wait_until_ready, worker
from ops.bench.rig.machine import CpuSamples, cores
from ops.clients import kafka_client as client
from registry.kafka.topic_reader import reading
from registry.kafka.topics import topics_of
from registry.settings import Settings

BAR: Final = 1.6
DRAIN_SECONDS: Final = 180.0
REQUESTS: Final = 300_000
QUICK_REQUESTS: Final = 80_000
ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Run:
    """One fleet's backlog: its rate, the CPU use of its workers and in all, and who answered."""

    per_second: float
    worker_cores: float | None
    busy_share: float | None
    by_worker: dict[str, int]


def measure(on: Ground, requests: int, rounds: int, say: Callable[[str], None]) -> Measured:
    """Run one worker and two workers in turn."""
    synthetic.publish_model(on.registry, seed=1)
    runs: dict[int, list[Run]] = {1: [], 2: []}
    for number in range(1, rounds + 1):
        for workers, seen in runs.items():
            run = _run(on, requests, workers)
            seen.append(run)
            say(f"round {number}/{rounds}  {workers} worker(s): {run.per_second:,.0f}/s")
    rates = {
        workers: statistics.median(run.per_second for run in of) for workers, of in runs.items()
    }
    busy = _median([run.busy_share for run in runs[2]])
    ratio = at_least("times one worker, with two", rates[2] / rates[1], BAR)
    return Measured(
        parameters={"requests": requests, "rounds": rounds},
        rows=[_row(workers, rates[workers], of) for workers, of in runs.items()],
        bars=[where_cores_allow(ratio, busy or 0.0)],
        notes=[what_limits(cores(), busy)],
    )


def what_limits(machine_cores: int, busy_share: float | None) -> str:
    """Return a sentence on what holds two workers back.

    >>> what_limits(2, 0.97)
    'With two workers 97 % of 2 cores were busy; as far as is known, cores are the limit.'
    """
    if busy_share is None:
        return f"{machine_cores} cores; how busy they were is only known on Linux."
    seen = f"With two workers {busy_share * 100:.0f} % of {machine_cores} cores were busy"
    limit = "cores are the limit" if busy_share >= SATURATED else "cores are not the limit"
    return f"{seen}; as far as is known, {limit}."


def _row(workers: int, rate: float, runs: list[Run]) -> dict[str, Cell]:
    busy = _median([run.busy_share for run in runs])
    return {
        "workers": workers,
        "requests/s": rate,
        "lowest": min(run.per_second for run in runs),
        "highest": max(run.per_second for run in runs),
        "cores used by workers": _median([run.worker_cores for run in runs]),
        "machine busy": None if busy is None else f"{busy:.0%}",
        "share of the busiest": f"{statistics.median(_largest_share(run) for run in runs):.0%}",
    }


def _largest_share(run: Run) -> float:
    return max(run.by_worker.values()) / sum(run.by_worker.values())


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _run(on: Ground, requests: int, workers: int) -> Run:
    with ExitStack() as stack:
        settings = stack.enter_context(fresh_topics(on, "scale"))
        started = [
            stack.enter_context(worker(on, settings, f"worker-{number}"))
            for number in range(1, workers + 1)
        ]
        for _, url in started:
            wait_until_ready(on, url)
        answers, cpu = _answer_all(on, settings, requests, [pid for pid, _ in started])
    window = sustained(answers.times_ms)
    return Run(
        window.per_second,
        _cores_used(cpu, window),
        cpu.busy_share(window),
        answers.by_worker,
    )


def _answer_all(
    on: Ground, settings: Settings, requests: int, pids: list[int]
) -> tuple[FirstAnswers, CpuSamples]:
    topics = topics_of(settings)
    records = list(synthetic.requests(requests))  # made before, so that sending takes less time
    cpu = CpuSamples(pids)
    with reading(settings, topics.responses) as consumer:
        consumer.pause(consumer.assignment())
        cpu.take()
        client.produce_all(settings, topics.requests, records)

        def done() -> bool:
            cpu.take()
            return answered(consumer) >= requests

        wait_until(on, done, "the backlog to be answered", DRAIN_SECONDS)
    return read_answers(settings, requests), cpu


def _cores_used(cpu: CpuSamples, window: Window) -> float | None:
    seconds = cpu.process_seconds(window)
    return None if seconds is None else seconds * 1000 / (window.end_ms - window.start_ms)
