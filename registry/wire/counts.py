"""Counts of answers: what guardrails judge, summed over workers. Values and their sums only.

Counts are cumulative since the worker began to act on a rollout state, not since the last
heartbeat: a heartbeat that is lost or comes twice then changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from msgspec import Struct

Histogram: TypeAlias = dict[int, int]
"""Observations by DDSketch bucket (`registry.guardrails.histogram`); histograms add up."""


class ArmCounts(Struct, frozen=True, omit_defaults=True):
    """What the users assigned to one variant got, under one rollout state.

    Parameters
    ----------
    variant
        The arm that the users were *assigned* to; an answer that fell back counts here too.
    version
        The version that the arm names.
    requests
        Answers with status ``ok`` or ``error``; expired and pinned requests do not count.
    errors, fallbacks, empty
        Of those: errors; answered in another than the assigned way; ``ok`` but without an item.
    users
        Different users seen, of this worker's first `USERS_COUNTED`.
    scoring
        Seconds that the version took to score one request alone, of some of them.
    latency
        Seconds from the request's timestamp to its answer.
    """

    variant: str
    version: str
    requests: int = 0
    errors: int = 0
    fallbacks: int = 0
    empty: int = 0
    users: int = 0
    scoring: Histogram = {}
    latency: Histogram = {}


class ShadowCounts(Struct, frozen=True, omit_defaults=True):
    """What came of the shadow comparisons under one rollout state.

    ``overlap``, ``rank_biased_overlap`` and ``score_shift`` are sums over the compared ones;
    `primary` and `canary` hold scoring seconds a request.
    """

    compared: int = 0
    dropped: int = 0
    failed: int = 0
    overlap: float = 0.0
    rank_biased_overlap: float = 0.0
    score_shift: float = 0.0
    primary: Histogram = {}
    canary: Histogram = {}


def added(histograms: Iterable[Mapping[int, int]]) -> Histogram:
    """Return the sum of `histograms`, bucket by bucket."""
    total: Counter[int] = Counter()
    for histogram in histograms:
        total.update(histogram)
    return dict(total)


def summed_arms(arms: Iterable[ArmCounts]) -> tuple[ArmCounts, ...]:
    """Return one sum for each variant and version, in order of variant."""
    by_arm: dict[tuple[str, str], list[ArmCounts]] = {}
    for arm in arms:
        by_arm.setdefault((arm.variant, arm.version), []).append(arm)
    return tuple(
        ArmCounts(
            variant,
            version,
            requests=sum(one.requests for one in group),
            errors=sum(one.errors for one in group),
            fallbacks=sum(one.fallbacks for one in group),
            empty=sum(one.empty for one in group),
            users=sum(one.users for one in group),
            scoring=added(one.scoring for one in group),
            latency=added(one.latency for one in group),
        )
        for (variant, version), group in sorted(by_arm.items())
    )


def summed_shadows(counts: Iterable[ShadowCounts]) -> ShadowCounts:
    """Return the sum of `counts`."""
    group = tuple(counts)
    return ShadowCounts(
        compared=sum(one.compared for one in group),
        dropped=sum(one.dropped for one in group),
        failed=sum(one.failed for one in group),
        overlap=sum(one.overlap for one in group),
        rank_biased_overlap=sum(one.rank_biased_overlap for one in group),
        score_shift=sum(one.score_shift for one in group),
        primary=added(one.primary for one in group),
        canary=added(one.canary for one in group),
    )
