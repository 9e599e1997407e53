"""``bench latency``: steady traffic on one worker, undisturbed and during swaps and a training.

Three phases at each rate: calm, with 20 swaps, with 20 swaps and a training on 100,004 real
ratings. Knows the phases; must not know how traffic is sent or commands are issued.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ops.bench.rig import synthetic
from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured
from ops.bench.rig.disturbance import SWAPS, Disturbing, disturbance
from ops.bench.rig.figures import Claim, at_most, latency_of
from ops.bench.rig.ground import Ground, fresh_topics, wait_until_ready, worker
from ops.bench.rig.machine import process_seconds
from ops.bench.rig.steady_traffic import TrafficOutcome, drive
from ops.clients import kafka_client as client
from ops.demo import demo_fleet
from ops.ingest.send_once import records_of
from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.wire.training_records.training_messages import TrainingRun

RATES: Final = (200, 2_000)
"""Requests a second: hardly anything, and what a busy site asks."""

SECONDS: Final = 60.0
QUICK_SECONDS: Final = 8.0
WARM_SECONDS: Final = 3.0

CALM: Final = "calm"
SWAPPING: Final = f"{SWAPS} swaps"
TRAINING: Final = f"{SWAPS} swaps, a training"
PHASES: Final = (CALM, SWAPPING, TRAINING)

BAR_MS_BY_RATE: Final = {200: (5.0, 20.0), 2_000: (10.0, 50.0)}
"""p50 and p99 of calm traffic."""

BAR_RATIO: Final = 1.5
BAR_DISTURBED_MS: Final = 20.0
"""What swaps and trainings may always raise the p99 to: half as much again of 4 ms is nothing."""

BAR_WAITING_SECONDS: Final = 1.0


def measure(on: Ground, seconds: float, say: Callable[[str], None]) -> Measured:
    """Run all phases at all rates, one after the other, on one worker."""
    versions = (synthetic.publish_model(on.registry, 1), synthetic.publish_model(on.registry, 2))
    rows: list[dict[str, Cell]] = []
    bars: list[Claim] = []
    with fresh_topics(on, "latency", MODEL_VERSION=versions[0]) as settings:
        _ingest(settings)
        with worker(on, settings) as (pid, url):
            wait_until_ready(on, url)
            drive(settings, RATES[0], WARM_SECONDS)
            fleet = _SwappedFleet(on, settings, url, pid, versions)
            for rate in RATES:
                phases = {}
                for name in PHASES:
                    phases[name] = phase = _phase(fleet, name, rate, seconds)
                    rows.append(_row(rate, name, phase, seconds))
                    say(f"{rate}/s, {name}: {_summary(phase.traffic)}")
                bars += _bars(rate, phases)
    return Measured(
        parameters={
            "model": f"{synthetic.ITEMS:,} items x {synthetic.FACTORS} factors, k={synthetic.K}",
            "each phase": f"{seconds:g} s",
            "trained on": f"{demo_fleet.RATINGS_COUNT:,} ratings",
        },
        rows=rows,
        bars=bars,
        notes=[
            "p50, p99, max: from when a request was due until a consumer saw its confirmed answer, "
            "sender and consumer included. Stamped: between the two records' timestamps, of whole "
            "milliseconds. Scored: up to scoring, as the answer's provenance says. Sent late: by "
            "the sender, on a busy machine. Waiting: when the last request was sent."
        ],
    )


@dataclass(frozen=True, slots=True)
class _SwappedFleet:
    """The one worker, and the two versions between which it is swapped."""

    on: Ground
    settings: Settings
    url: str
    pid: int
    versions: tuple[str, str]


@dataclass(frozen=True, slots=True)
class _LatencyPhase:
    """One phase: its traffic, the processor seconds of the worker, and the training, if any."""

    traffic: TrafficOutcome
    cpu_seconds: float | None
    run: TrainingRun | None = None


def _phase(fleet: _SwappedFleet, name: str, rate: int, seconds: float) -> _LatencyPhase:
    if name == CALM:
        return _LatencyPhase(*_driven(fleet, rate, seconds))
    planned = disturbance(fleet.settings, seconds, fleet.versions, training=name == TRAINING)
    with Disturbing(fleet.on, fleet.settings, fleet.url, planned) as disturbing:
        traffic, cpu_seconds = _driven(fleet, rate, seconds)
    return _LatencyPhase(traffic, cpu_seconds, disturbing.training)


def _driven(fleet: _SwappedFleet, rate: int, seconds: float) -> tuple[TrafficOutcome, float | None]:
    before = process_seconds(fleet.pid)
    traffic = drive(fleet.settings, rate, seconds)
    after = process_seconds(fleet.pid)
    return traffic, None if before is None or after is None else after - before


def _row(rate: int, name: str, phase: _LatencyPhase, seconds: float) -> dict[str, Cell]:
    traffic, run, cpu_seconds = phase.traffic, phase.run, phase.cpu_seconds
    confirmed = latency_of(traffic.confirmed_ms)
    row: dict[str, Cell] = {
        "requests/s": rate,
        "phase": name,
        "p50 ms": confirmed.p50_ms,
        "p99 ms": confirmed.p99_ms,
        "max ms": confirmed.max_ms,
        "stamped p99": latency_of(traffic.stamped_ms).p99_ms,
        "scored p99": latency_of(traffic.scored_ms).p99_ms,
        "sent late p99": latency_of(traffic.late_ms).p99_ms,
        "waiting": traffic.waiting_at_end,
        "worker cores": None if cpu_seconds is None else cpu_seconds / seconds,
    }
    if run is not None and run.result is not None:
        row["training"] = f"{run.result.status}, {sum(run.result.stage_seconds.values()):.1f} s"
    return row


def _bars(rate: int, phases: Mapping[str, _LatencyPhase]) -> list[Claim]:
    p99 = {name: latency_of(phase.traffic.confirmed_ms).p99_ms for name, phase in phases.items()}
    p50_bar, p99_bar = BAR_MS_BY_RATE[rate]
    calm = [
        at_most(f"p50 ms, {rate}/s", latency_of(phases[CALM].traffic.confirmed_ms).p50_ms, p50_bar),
        at_most(f"p99 ms, {rate}/s", p99[CALM], p99_bar),
    ]
    disturbed = max(BAR_RATIO * p99[CALM], BAR_DISTURBED_MS)
    ratios = [
        at_most(f"p99 ms, {rate}/s, {name}", p99[name], disturbed) for name in (SWAPPING, TRAINING)
    ]
    waiting = max(phase.traffic.waiting_at_end for phase in phases.values()) / rate
    claim = f"seconds of traffic waiting at the end, {rate}/s"
    return [*calm, *ratios, at_most(claim, waiting, BAR_WAITING_SECONDS)]


def _summary(traffic: TrafficOutcome) -> str:
    latency = latency_of(traffic.confirmed_ms)
    return f"p50 {latency.p50_ms:.1f} ms, p99 {latency.p99_ms:.1f} ms"


def _ingest(settings: Settings) -> None:
    client.produce_all(settings, topics_of(settings).interactions, records_of(demo_fleet.RATINGS))
