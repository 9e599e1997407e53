"""``bench cost``: the processor that one worker takes at steady rates, from none to 5,000 a second.

A batch is what has come in since the last one, so at a low rate each request pays for nearly a
whole batch. Knows the rates; must not know how traffic is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ops.bench.rig import synthetic
from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured
from ops.bench.rig.figures import Claim, at_most, latency_of
from ops.bench.rig.ground import Ground, fresh_topics, wait_until_ready, worker
from ops.bench.rig.machine import process_seconds
from ops.bench.rig.steady_traffic import drive
from registry.settings import Settings

RATES: Final = (0, 50, 200, 1_000, 2_000, 5_000)
"""Requests a second."""

SECONDS: Final = 20.0
QUICK_SECONDS: Final = 3.0
WARM_SECONDS: Final = 3.0

BAR_RATE: Final = 200
BAR_CORES: Final = 0.2


def measure(on: Ground, seconds: float, say: Callable[[str], None]) -> Measured:
    """Drive one worker at each rate, one after the other."""
    version = synthetic.publish_model(on.registry, 1)
    rows: list[dict[str, Cell]] = []
    bars: list[Claim] = []
    idle = 0.0
    with (
        fresh_topics(on, "cost", MODEL_VERSION=version) as settings,
        worker(on, settings) as (pid, url),
    ):
        wait_until_ready(on, url)
        drive(settings, BAR_RATE, WARM_SECONDS)
        for rate in RATES:
            before = process_seconds(pid)
            row = _drive(settings, rate, seconds)
            after = process_seconds(pid)
            if before is not None and after is not None:
                row["worker cores"] = cores = (after - before) / seconds
                idle = cores if rate == 0 else idle
                row["CPU µs a request"] = (cores - idle) * 1e6 / rate if rate else None
                if rate == BAR_RATE:
                    bars.append(at_most(f"cores at {BAR_RATE}/s", cores, BAR_CORES))
            rows.append(row)
            say(f"{rate}/s done")
    return Measured(
        parameters={
            "model": f"{synthetic.ITEMS:,} items x {synthetic.FACTORS} factors, k={synthetic.K}",
            "each rate": f"{seconds:g} s",
        },
        rows=rows,
        bars=bars,
        notes=[
            "CPU µs a request: what is above the idle worker. p50, p99: from when a request was "
            "due until a consumer saw its confirmed answer."
        ],
    )


def _drive(settings: Settings, rate: int, seconds: float) -> dict[str, Cell]:
    row: dict[str, Cell] = {"requests/s": rate, "worker cores": None, "CPU µs a request": None}
    if not rate:
        time.sleep(seconds)
        return row | {"p50 ms": None, "p99 ms": None}
    latency = latency_of(drive(settings, rate, seconds).confirmed_ms)
    return row | {"p50 ms": latency.p50_ms, "p99 ms": latency.p99_ms}
