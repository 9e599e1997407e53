"""Workers of the previous release in this fleet: they are served until they are gone. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from registry.guardrails.silent_workers import FORGET_SECONDS
from registry.wire.heartbeats import Heartbeat


def predecessors(fleet: Iterable[Heartbeat], now: float) -> tuple[Heartbeat, ...]:
    """Return the workers of a release that reads lease and fleet from the rollout table."""
    return tuple(
        heartbeat
        for heartbeat in fleet
        if heartbeat.log_offset is None
        and not heartbeat.stopping
        and now - heartbeat.at <= FORGET_SECONDS
    )
