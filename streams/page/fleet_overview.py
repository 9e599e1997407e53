"""The overview: what the heartbeats of all workers say together, as values for the page.

Pure functions of heartbeats, a rollout state and the time. Must not know how they are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from registry.guardrails.fleet_counts import arms_at, shadow_at
from registry.guardrails.histogram import quantile
from registry.guardrails.live_workers import LIVE_SECONDS, age_seconds
from registry.guardrails.sample_ratio import sample_ratio
from registry.rollout.assignment import canary_share
from registry.wire.counts import ArmCounts, Histogram, ShadowCounts
from registry.wire.heartbeats import Heartbeat
from registry.wire.ramp_values import Finding
from registry.wire.rollout_state import RolloutState
from streams.page.status import ArmTraffic, FleetWorker, Presence, ShadowSummary

SPLIT_ALPHA: Final = 0.001
"""Most probability that a right split is ever called wrong under one state; there are few states
and many looks. Larger, and operators learn not to look; smaller, and a wrong split shows later."""


class Overview(NamedTuple):
    """What all workers say together under one rollout state; see `streams.page.status.Status`."""

    workers: tuple[FleetWorker, ...]
    arms: tuple[ArmTraffic, ...]
    shadow: ShadowSummary | None
    split: Finding | None


def overview_of(state: RolloutState | None, fleet: Sequence[Heartbeat], now: float) -> Overview:
    """Return what `fleet` says at `now`, in seconds since the epoch; of counts only `state`'s."""
    if state is None:
        return Overview(workers_of(fleet, now), (), None, None)
    arms = arms_at(fleet, state.epoch)
    shadow = shadow_of(shadow_at(fleet, state.epoch))
    return Overview(workers_of(fleet, now), traffic_of(arms), shadow, split_of(state, arms))


def workers_of(fleet: Iterable[Heartbeat], now: float) -> tuple[FleetWorker, ...]:
    """Return one row for each worker, by name; `now` in seconds since the epoch."""
    rows = (
        FleetWorker(heartbeat, _presence(heartbeat, now), age_seconds(heartbeat, now))
        for heartbeat in fleet
    )
    return tuple(sorted(rows, key=lambda row: (row.heartbeat.worker, row.heartbeat.at)))


def traffic_of(arms: Iterable[ArmCounts]) -> tuple[ArmTraffic, ...]:
    """Return what each variant got, its latencies as quantiles in milliseconds."""
    return tuple(
        ArmTraffic(
            variant=arm.variant,
            version=arm.version,
            requests=arm.requests,
            errors=arm.errors,
            fallbacks=arm.fallbacks,
            empty=arm.empty,
            users=arm.users,
            p50_ms=_milliseconds(arm.latency, 0.5),
            p99_ms=_milliseconds(arm.latency, 0.99),
            scoring_ms=_milliseconds(arm.scoring, 0.5),
        )
        for arm in arms
    )


def shadow_of(counts: ShadowCounts) -> ShadowSummary:
    """Return the means and medians of what has been compared."""
    compared = counts.compared
    return ShadowSummary(
        compared=compared,
        dropped=counts.dropped,
        failed=counts.failed,
        overlap=counts.overlap / compared if compared else None,
        rank_biased_overlap=counts.rank_biased_overlap / compared if compared else None,
        score_shift=counts.score_shift / compared if compared else None,
        primary_ms=_milliseconds(counts.primary, 0.5),
        canary_ms=_milliseconds(counts.canary, 0.5),
    )


def split_of(state: RolloutState, arms: Iterable[ArmCounts]) -> Finding | None:
    """Return whether users were split as the canary or the A/B test requires; None if there is no
    split.

    Checked once a second for as long as the state lasts; so it is the check that stays valid
    then. In a ramp, a guardrail says the same at the ramp's own `alpha`.
    """
    share = canary_share(state)
    if not 0 < share < 100:
        return None
    users = {arm.variant: arm.users for arm in arms}
    names = ("B", "A") if state.strategy == "ab_test" else ("canary", "primary")
    canary, primary = (users.get(name, 0) for name in names)
    return sample_ratio(canary, primary, share / 100, SPLIT_ALPHA)


def _presence(heartbeat: Heartbeat, now: float) -> Presence:
    if heartbeat.stopping:
        return "stopped"
    return "live" if now - heartbeat.at <= LIVE_SECONDS else "silent"


def _milliseconds(histogram: Histogram, share: float) -> float | None:
    seconds = quantile(histogram, share)
    return None if seconds is None else seconds * 1000
