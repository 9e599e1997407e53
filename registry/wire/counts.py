"""Counts of answers: what guardrails judge. Values and their sums only.

One type for each arm's counts, whoever adds them up: a batch, a worker, its heartbeat, the fleet.

Counts are cumulative since the worker began to act on a rollout state, not since the last
heartbeat: so a lost or duplicated heartbeat changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
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

    def add(self, other: ArmCounts) -> ArmCounts:
        """Return the sum of two counts of one arm."""
        return ArmCounts(
            self.variant,
            self.version,
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            fallbacks=self.fallbacks + other.fallbacks,
            empty=self.empty + other.empty,
            users=self.users + other.users,
            scoring=_add_histogram(self.scoring, other.scoring),
            latency=_add_histogram(self.latency, other.latency),
        )


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

    def add(self, other: ShadowCounts) -> ShadowCounts:
        """Return the sum of two counts."""
        return ShadowCounts(
            compared=self.compared + other.compared,
            dropped=self.dropped + other.dropped,
            failed=self.failed + other.failed,
            overlap=self.overlap + other.overlap,
            rank_biased_overlap=self.rank_biased_overlap + other.rank_biased_overlap,
            score_shift=self.score_shift + other.score_shift,
            primary=_add_histogram(self.primary, other.primary),
            canary=_add_histogram(self.canary, other.canary),
        )


def sum_histograms(histograms: Iterable[Histogram]) -> Histogram:
    """Return the sum of `histograms`, bucket by bucket; none of them changes."""
    return reduce(_add_histogram, histograms, {})


def sum_by_arm(arms: Iterable[ArmCounts]) -> tuple[ArmCounts, ...]:
    """Return one sum for each variant and version, in order of variant."""
    by_arm: dict[tuple[str, str], ArmCounts] = {}
    for arm in arms:
        key = (arm.variant, arm.version)
        by_arm[key] = by_arm[key].add(arm) if key in by_arm else arm
    return tuple(counts for _, counts in sorted(by_arm.items()))


def sum_shadows(counts: Iterable[ShadowCounts]) -> ShadowCounts:
    """Return the sum of `counts`."""
    return reduce(ShadowCounts.add, counts, ShadowCounts())


def _add_histogram(left: Histogram, right: Histogram) -> Histogram:
    if not left or not right:
        return left or right
    total = dict(left)
    for bucket, count in right.items():
        total[bucket] = total.get(bucket, 0) + count
    return total
