"""The fleet: what each worker reports every second, and what all reports say together.

Pure functions of heartbeats and the time. Must not know how heartbeats travel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from registry.error_codes import ReadinessCode
from registry.guardrails.live_workers import LIVE_SECONDS, live
from registry.wire.counts import ArmCounts, ShadowCounts, sum_by_arm, sum_shadows
from registry.wire.heartbeats import Heartbeat
from registry.wire.ramp_values import Finding

FORGET_SECONDS: Final = 60.0
"""A silent worker is shown for so long, unless its counts still belong to the present state."""

KEPT_SECONDS: Final = 3600.0
"""The fleet topic keeps heartbeats for so long."""

CARRY_SECONDS: Final = KEPT_SECONDS / 3
"""How often the owner repeats the counts of a worker that is gone, so that a ramp's stage may last
longer than the fleet topic keeps, and an owner may be missing for longer than a restart takes. More
often only writes more."""

WORKERS_NAMED: Final = 20
WHY_CHARACTERS: Final = 300
"""How many workers a finding names, and how much of why each. A ramp's command holds its findings,
and one that is too large would be no command."""


def traffic_of(fleet: Iterable[Heartbeat], now: float) -> float | None:
    """Return the requests that the live workers answer a second; None if there is none."""
    rates = [heartbeat.requests_per_second for heartbeat in live(fleet, now)]
    return sum(rates) if rates else None


def remembered(fleet: Iterable[Heartbeat], now: float, epoch: int | None) -> tuple[Heartbeat, ...]:
    """Return the rows worth keeping: recent ones, and those whose counts are of `epoch`."""
    return tuple(
        heartbeat
        for heartbeat in fleet
        if now - heartbeat.at <= FORGET_SECONDS
        or (epoch is not None and heartbeat.epoch == epoch and heartbeat.arms)
    )


def carried(fleet: Iterable[Heartbeat], now: float, epoch: int) -> tuple[Heartbeat, ...]:
    """Return what silent workers counted under `epoch`, for the owner to say again."""
    return tuple(
        replace(heartbeat, heard_at=heartbeat.at)
        for heartbeat in fleet
        if heartbeat.epoch == epoch and heartbeat.arms and now - heartbeat.at > FORGET_SECONDS
    )


def predecessors(fleet: Iterable[Heartbeat], now: float) -> tuple[Heartbeat, ...]:
    """Return the workers of a release that reads lease and fleet from the rollout table."""
    return tuple(
        heartbeat
        for heartbeat in fleet
        if heartbeat.log_offset is None
        and not heartbeat.stopping
        and now - heartbeat.at <= FORGET_SECONDS
    )


def behind(
    fleet: Sequence[Heartbeat], log_offset: int, within_seconds: float
) -> tuple[Heartbeat, ...]:
    """Return the workers whose control log is older than that of `log_offset`.

    One that is still reading the rollout table is not among them, nor one that was silent of late.

    Parameters
    ----------
    fleet
        The latest heartbeats.
    log_offset
        Last offset of the newest log.
    within_seconds
        How recent a heartbeat must be, measured against the latest of all.
    """
    heard_at = max((heartbeat.at for heartbeat in fleet), default=0.0)
    return tuple(
        heartbeat
        for heartbeat in fleet
        if heartbeat.log_offset is not None
        and heartbeat.log_offset < log_offset
        and heard_at - heartbeat.at <= min(within_seconds, LIVE_SECONDS)
        and not heartbeat.stopping
        and ReadinessCode.RECOVERING not in heartbeat.reasons
    )


def arms_at(fleet: Iterable[Heartbeat], epoch: int) -> tuple[ArmCounts, ...]:
    """Return the whole fleet's counts under the state of `epoch`, the dead workers' included."""
    return sum_by_arm(
        arm for heartbeat in fleet if heartbeat.epoch == epoch for arm in heartbeat.arms
    )


def shadow_at(fleet: Iterable[Heartbeat], epoch: int) -> ShadowCounts:
    """Return the whole fleet's shadow comparisons under the state of `epoch`."""
    return sum_shadows(
        heartbeat.shadow for heartbeat in fleet if heartbeat.epoch == epoch and heartbeat.shadow
    )


def readiness(fleet: Sequence[Heartbeat], now: float, epoch: int, version: str) -> Finding:
    """Tell whether every live worker acts on `epoch` and has `version` in memory.

    A worker that could not load it is named, with why; so is one that has not said yet.
    """
    workers = live(fleet, now)
    if not workers:
        return Finding("readiness", "error", "no live worker has sent a heartbeat")
    waiting = [
        f"{heartbeat.worker} ({_why_not(heartbeat, epoch, version)})"
        for heartbeat in workers
        if version not in heartbeat.ready or heartbeat.epoch != epoch
    ]
    figures = {"ready": float(len(workers) - len(waiting)), "workers": float(len(workers))}
    if waiting:
        more = len(waiting) - WORKERS_NAMED
        named = [*waiting[:WORKERS_NAMED], *([f"{more} more"] if more > 0 else ())]
        message = f"{version} is not ready on {', '.join(named)}"
        return Finding("readiness", "inconclusive", message, figures)
    return Finding("readiness", "pass", f"{version} is ready on all {len(workers)}", figures)


def survival(fleet: Sequence[Heartbeat], epoch: int, version: str) -> Finding:
    """Tell whether workers die of `version`: a worker that hangs or crashes counts no errors.

    ``fail`` if at least half of the workers that acted on `epoch` with it, and at least two, fell
    silent without a goodbye. One may die of anything, and a rollout that a single death could turn
    back would never end in a large fleet. Silence is measured against the latest heartbeat of all:
    while a rebalance holds them all up, nobody is silent.
    """
    acted = [
        heartbeat for heartbeat in fleet if heartbeat.epoch == epoch and version in heartbeat.ready
    ]
    heard_at = max((heartbeat.at for heartbeat in fleet), default=0.0)
    silent = [
        heartbeat
        for heartbeat in acted
        if not heartbeat.stopping and heard_at - heartbeat.at > LIVE_SECONDS
    ]
    figures = {"silent": float(len(silent)), "workers": float(len(acted))}
    if len(silent) >= 2 and 2 * len(silent) >= len(acted):
        named = ", ".join(sorted(heartbeat.worker for heartbeat in silent)[:WORKERS_NAMED])
        message = f"{len(silent)} of {len(acted)} fell silent without stopping: {named}"
        return Finding("workers", "fail", message, figures)
    return Finding("workers", "pass", f"{len(silent)} of {len(acted)} fell silent", figures)


def _why_not(heartbeat: Heartbeat, epoch: int, version: str) -> str:
    if version in heartbeat.failures:
        return heartbeat.failures[version][:WHY_CHARACTERS]
    if version not in heartbeat.ready:
        return "not loaded yet"
    return f"still acts on epoch {heartbeat.epoch}, not {epoch}"
