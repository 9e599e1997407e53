"""What all workers of the fleet counted together: arms, shadow comparisons, traffic.

Pure functions of heartbeats and the time. Must not know how heartbeats travel.
"""

from __future__ import annotations

from collections.abc import Iterable

from registry.guardrails.live_workers import live
from registry.wire.counts import ArmCounts, ShadowCounts, sum_by_arm, sum_shadows
from registry.wire.heartbeats import Heartbeat


def traffic_of(fleet: Iterable[Heartbeat], now: float) -> float | None:
    """Return the requests that the live workers answer a second; None if there is none."""
    rates = [heartbeat.requests_per_second for heartbeat in live(fleet, now)]
    return sum(rates) if rates else None


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
