"""``bench shadow``: what the canary version in shadow of all requests costs those who asked.

Steady traffic without and with shadow, in turns on one worker, so that what disturbs the machine
disturbs both; then more than the worker can answer, where comparisons must be shed and answers not.
Knows the phases; must not know how traffic is sent or how a worker sheds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, TypeAlias

from ops.bench.rig import synthetic
from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured
from ops.bench.rig.figures import Claim, Window, at_least, at_most, latency_of, where_cores_allow
from ops.bench.rig.ground import Ground, fresh_topics, wait_until, wait_until_ready, worker
from ops.bench.rig.machine import CpuSamples
from ops.bench.rig.steady_traffic import TrafficOutcome, drive
from ops.clients import kafka_client as client
from ops.clients.fleet_observer import heartbeats
from registry.errors import TransportError
from registry.guardrails.fleet_counts import shadow_at
from registry.settings import Settings
from registry.wire.counts import ShadowCounts
from registry.wire.field_types import Strategy
from registry.wire.heartbeats import Heartbeat

WARM_SECONDS: Final = 3.0
BAR_RATIO: Final = 1.2
BAR_ALL: Final = 1.0
BAR_SHED: Final = 0.5
"""Share of the comparisons under overload that must be shed, for it to have been one."""

HEARTBEAT_SECONDS: Final = 20.0
"""How long a worker may take until a heartbeat says what is waited for."""


@dataclass(frozen=True, slots=True)
class ShadowRates:
    """Rates in requests a second. ``overload`` is above what one worker answers on two cores."""

    rates: tuple[int, ...] = (200, 1_000)
    seconds: float = 8.0
    turns: int = 7
    overload: int = 30_000
    overload_seconds: float = 2.0


QUICK: Final = ShadowRates(seconds=3.0, turns=1, overload_seconds=1.0)


def measure(on: Ground, sizes: ShadowRates, say: Callable[[str], None]) -> Measured:
    """Run all phases, one after the other, on one worker."""
    primary, canary = (synthetic.publish_model(on.registry, seed) for seed in (1, 2))
    rows: list[dict[str, Cell]] = []
    bars: list[Claim] = []
    with (
        fresh_topics(on, "shadow", MODEL_VERSION=primary) as settings,
        worker(on, settings) as (_, url),
    ):
        wait_until_ready(on, url)
        fleet = _ShadowedWorker(on, settings, canary)
        _turn(fleet, sizes.rates[0], WARM_SECONDS)
        for rate in sizes.rates:
            turns = []
            for number in range(1, sizes.turns + 1):
                turns.append(turn := _turn(fleet, rate, sizes.seconds))
                say(f"{rate}/s, turn {number}/{sizes.turns}: {_summary(turn)}")
            rows += _rows(rate, turns)
            bars.append(_p99_bar(rate, turns))
        turn = _turn(fleet, sizes.overload, sizes.overload_seconds)
        say(f"{sizes.overload}/s: {_summary(turn)}")
        rows += _rows(sizes.overload, [turn])
        bars += _overload_bars(turn["shadow"])
    return Measured(
        parameters={
            "model": f"{synthetic.ITEMS:,} items x {synthetic.FACTORS} factors, k={synthetic.K}",
            "each phase": f"{sizes.seconds:g} s, {sizes.turns} in turns",
            "in shadow": "100 % of the requests",
        },
        rows=rows,
        bars=bars,
        notes=[
            "p50, p99, max: medians of the turns; from when a request was due until a consumer saw "
            "its confirmed answer, sender and consumer included. Every answer arrived."
        ],
    )


_BOTH: Final[tuple[Strategy, Strategy]] = ("fixed", "shadow")


@dataclass(frozen=True, slots=True)
class _ShadowPhase:
    """One phase: its traffic, the share of all cores in use, what came of the comparisons."""

    traffic: TrafficOutcome
    busy_share: float | None
    counts: ShadowCounts

    @property
    def requests(self) -> int:
        return len(self.traffic.confirmed_ms)

    @property
    def p99_ms(self) -> float:
        return latency_of(self.traffic.confirmed_ms).p99_ms


@dataclass(frozen=True, slots=True)
class _ShadowedWorker:
    """The one worker, and the version that is put in the shadow of its primary."""

    on: Ground
    settings: Settings
    canary_version: str

    def phase(self, strategy: Strategy, rate: int, seconds: float) -> _ShadowPhase:
        """Set the strategy, send traffic, and wait until all comparisons are accounted for."""
        fields = {"strategy": strategy, "canary_version": self.canary_version}
        command = client.new_command(self.settings, "rollout", **fields)
        result = client.send_command(self.settings, command)
        if result.status != "applied" or result.epoch is None:
            raise TransportError(f"rollout was {result.status}: {result.error}")
        epoch = result.epoch
        self._wait_for(lambda beat: beat.epoch == epoch and self.canary_version in beat.ready)
        cpu, started_ms = CpuSamples([]), time.time() * 1000
        cpu.take()
        traffic = drive(self.settings, rate, seconds)
        cpu.take()
        busy_share = cpu.busy_share(Window(started_ms, time.time() * 1000, rate * seconds))
        if strategy == "fixed":
            return _ShadowPhase(traffic, busy_share, ShadowCounts())
        requests = len(traffic.confirmed_ms)
        last = self._wait_for(lambda beat: _accounted_for(shadow_at([beat], epoch)) >= requests)
        return _ShadowPhase(traffic, busy_share, shadow_at([last], epoch))

    def _wait_for(self, seen: Callable[[Heartbeat], bool]) -> Heartbeat:
        found: list[Heartbeat] = []

        def look() -> bool:
            found[:] = [beat for beat in heartbeats(self.settings) if seen(beat)]
            return bool(found)

        wait_until(self.on, look, "a heartbeat that says so", HEARTBEAT_SECONDS)
        return found[-1]


def _accounted_for(counts: ShadowCounts) -> int:
    return counts.compared + counts.dropped + counts.failed


_Turn: TypeAlias = Mapping[Strategy, _ShadowPhase]


def _turn(fleet: _ShadowedWorker, rate: int, seconds: float) -> _Turn:
    """Go through one phase without shadow and one with it."""
    return {strategy: fleet.phase(strategy, rate, seconds) for strategy in _BOTH}


def _summary(turn: _Turn) -> str:
    return ", ".join(f"{strategy} p99 {phase.p99_ms:.1f} ms" for strategy, phase in turn.items())


def _rows(rate: int, turns: Sequence[_Turn]) -> list[dict[str, Cell]]:
    return [_row(rate, strategy, [turn[strategy] for turn in turns]) for strategy in _BOTH]


def _row(rate: int, strategy: Strategy, phases: Sequence[_ShadowPhase]) -> dict[str, Cell]:
    latencies, busy = [latency_of(phase.traffic.confirmed_ms) for phase in phases], _busy(phases)
    row: dict[str, Cell] = {
        "requests/s": rate,
        "strategy": strategy,
        "p50 ms": median(latency.p50_ms for latency in latencies),
        "p99 ms": median(latency.p99_ms for latency in latencies),
        "max ms": median(latency.max_ms for latency in latencies),
        "waiting": max(phase.traffic.waiting_at_end for phase in phases),
        "machine busy": None if busy is None else f"{busy:.0%}",
        "answers": sum(phase.requests for phase in phases),
    }
    if strategy == "shadow":
        row |= {
            "compared": sum(phase.counts.compared for phase in phases),
            "dropped": sum(phase.counts.dropped for phase in phases),
        }
    return row


def _p99_bar(rate: int, turns: Sequence[_Turn]) -> Claim:
    fixed, shadow = (median(turn[strategy].p99_ms for turn in turns) for strategy in _BOTH)
    bar = at_most(f"times the p99 without shadow, {rate}/s", shadow / fixed, BAR_RATIO)
    return where_cores_allow(bar, _busy([turn["shadow"] for turn in turns]) or 0.0)


def _busy(phases: Sequence[_ShadowPhase]) -> float | None:
    known = [phase.busy_share for phase in phases if phase.busy_share is not None]
    return median(known) if known else None


def _overload_bars(phase: _ShadowPhase) -> list[Claim]:
    shed = phase.counts.dropped / phase.requests
    accounted = _accounted_for(phase.counts) / phase.requests
    return [
        at_least("share of comparisons shed under overload", shed, BAR_SHED),
        at_least("share of answers compared or counted as dropped", accounted, BAR_ALL),
    ]
