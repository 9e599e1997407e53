"""The barrier of a ramp: no stage begins before every live worker has the version in memory.

Pure functions of heartbeats and the time. Must not know how heartbeats travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from registry.guardrails.live_workers import WORKERS_NAMED, live
from registry.wire.heartbeats import Heartbeat
from registry.wire.ramp_values import Finding

WHY_CHARACTERS: Final = 300
"""How much a finding says of why a worker is not ready; see `WORKERS_NAMED`."""


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


def _why_not(heartbeat: Heartbeat, epoch: int, version: str) -> str:
    if version in heartbeat.failures:
        return heartbeat.failures[version][:WHY_CHARACTERS]
    if version not in heartbeat.ready:
        return "not loaded yet"
    return f"still acts on epoch {heartbeat.epoch}, not {epoch}"
