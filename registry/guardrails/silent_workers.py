"""Silent workers: how long their counts are kept, who repeats them, and when a version killed them.

Pure functions of heartbeats and the time. Must not know how heartbeats travel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from registry.guardrails.live_workers import LIVE_SECONDS, WORKERS_NAMED
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
