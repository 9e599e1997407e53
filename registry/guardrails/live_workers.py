"""Which workers are live, by their last heartbeats. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from registry.wire.heartbeats import Heartbeat

LIVE_SECONDS: Final = 5.0
"""Since its last heartbeat, a worker counts as live for so long. Shorter: one slow rebalance, and a
step begins without it. Longer: a dead worker blocks a step for longer."""

WORKERS_NAMED: Final = 20
"""How many workers a finding or a notice names. A ramp's command holds its findings, and one that
is too large would be no command."""


def age_seconds(heartbeat: Heartbeat, now: float) -> float | None:
    """Return the seconds since a heartbeat; None where the broker's clock is ahead of `now`'s."""
    return now - heartbeat.at if now >= heartbeat.at else None


def live(fleet: Iterable[Heartbeat], now: float) -> tuple[Heartbeat, ...]:
    """Return the workers that a step has to wait for, by name."""
    found = (
        heartbeat
        for heartbeat in fleet
        if not heartbeat.stopping and now - heartbeat.at <= LIVE_SECONDS
    )
    return tuple(sorted(found, key=lambda heartbeat: (heartbeat.worker, heartbeat.instance)))
