"""``bench latency``: steady traffic on one worker, undisturbed and during swaps and a training.

Three phases at each rate: calm, with 20 swaps, with 20 swaps and a training on 100,004 real
ratings. Knows the phases; must not know how traffic is sent or commands are issued.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ops import client, demo_fleet
from ops.bench import synthetic
from ops.bench.disturbance import SWAPS, Disturbing, disturbance
from ops.bench.figures import Bar, Latency, at_most, latency_of
from ops.bench.ground import Ground, fresh_topics, wait_until_ready, worker
from ops.bench.report import Cell
from ops.bench.run import Measured
from ops.bench.traffic import Traffic, drive
from ops.ingest import read_interactions
from registry.records import Interaction, TrainingRun, encode
from registry.settings import Settings
from registry.topics import topics_of

RATES: Final = (200, 2_000)
"""Requests a second: hardly anything, and what a busy site asks."""

SECONDS: Final = 60.0
QUICK_SECONDS: Final = 8.0
WARM_SECONDS: Final = 3.0

CALM: Final = "calm"
SWAPPING: Final = f"{SWAPS} swaps"
TRAINING: Final = f"{SWAPS} swaps, a training"
PHASES: Final = (CALM, SWAPPING, TRAINING)

BAR_RATIO: Final = 1.5
BAR_WAITING_SECONDS: Final = 1.0


def measure(on: Ground, seconds: float, say: Callable[[str], None]) -> Measured:
    """Run all phases at all rates, one after the other, on one worker."""
    versions = (synthetic.publish_model(on.registry, 1), synthetic.publish_model(on.registry, 2))
    rows: list[dict[str, Cell]] = []
    bars: list[Bar] = []
    with fresh_topics(on, "latency", MODEL_VERSION=versions[0]) as settings:
        _ingest(settings)
        with worker(on, settings) as (_, url):
            wait_until_ready(on, url)
            drive(settings, RATES[0], WARM_SECONDS)
            for rate in RATES:
                found: dict[str, Traffic] = {}
                for phase in PHASES:
                    found[phase], run = _phase(on, settings, url, phase, rate, seconds, versions)
                    rows.append(_row(rate, phase, found[phase], run))
                    say(f"{rate}/s, {phase}: {_said(latency_of(found[phase].confirmed_ms))}")
                bars += _bars(rate, found)
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
            "milliseconds. Scored: up to scoring, as the answer's provenance says."
        ],
    )


def _phase(
    on: Ground,
    settings: Settings,
    url: str,
    phase: str,
    rate: int,
    seconds: float,
    versions: tuple[str, str],
) -> tuple[Traffic, TrainingRun | None]:
    if phase == CALM:
        return drive(settings, rate, seconds), None
    planned = disturbance(settings, seconds, versions, training=phase == TRAINING)
    with Disturbing(on, settings, url, planned) as disturbing:
        traffic = drive(settings, rate, seconds)
    return traffic, disturbing.training


def _row(rate: int, phase: str, traffic: Traffic, run: TrainingRun | None) -> dict[str, Cell]:
    confirmed, stamped = latency_of(traffic.confirmed_ms), latency_of(traffic.stamped_ms)
    row: dict[str, Cell] = {
        "requests/s": rate,
        "phase": phase,
        "p50 ms": confirmed.p50_ms,
        "p99 ms": confirmed.p99_ms,
        "max ms": confirmed.max_ms,
        "stamped p50": stamped.p50_ms,
        "stamped p99": stamped.p99_ms,
        "scored p99": latency_of(traffic.scored_ms).p99_ms,
        "sender late p99": latency_of(traffic.late_ms).p99_ms,
        "waiting at end": traffic.waiting_at_end,
    }
    if run is not None and run.result is not None:
        row["training"] = f"{run.result.status}, {sum(run.result.stage_seconds.values()):.1f} s"
    return row


def _bars(rate: int, found: dict[str, Traffic]) -> list[Bar]:
    p99 = {phase: latency_of(traffic.confirmed_ms).p99_ms for phase, traffic in found.items()}
    ratios = [
        at_most(f"times the calm p99, {rate}/s, {phase}", p99[phase] / p99[CALM], BAR_RATIO)
        for phase in (SWAPPING, TRAINING)
    ]
    waiting = max(traffic.waiting_at_end for traffic in found.values()) / rate
    claim = f"seconds of traffic waiting at the end, {rate}/s"
    return [*ratios, at_most(claim, waiting, BAR_WAITING_SECONDS)]


def _said(latency: Latency) -> str:
    return f"p50 {latency.p50_ms:.1f} ms, p99 {latency.p99_ms:.1f} ms"


def _ingest(settings: Settings) -> None:
    records = (
        (one.user_id, encode(one))
        for one in read_interactions(demo_fleet.RATINGS)
        if isinstance(one, Interaction)
    )
    client.produce_all(settings, topics_of(settings).interactions, records)
