"""How many requests a ramp's guardrails need for a verdict.

Pure. Found by asking the guardrails themselves (`registry.guardrails.verdicts`) with more and more
requests. Must not know how many requests there are (`registry.ramp_plans.ramp_traffic`).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Final, NamedTuple

from msgspec import Struct, structs

from registry.guardrails.histogram import MAPPING
from registry.guardrails.min_overlap import judge_shadow
from registry.guardrails.verdicts import judge
from registry.ramp_plans.false_alarm import alpha_of
from registry.wire.counts import ArmCounts, ShadowCounts
from registry.wire.ramp_values import Ramp, Verdict

MOST_REQUESTS: Final = 10**9
"""A verdict that needs more is not reached by any ramp."""

TIMES_THE_LIMIT: Final = 2
"""How much worse than allowed a version is in `Need.to_fail`. At the limit itself no number of
requests is enough: a test that is right at all times cannot tell there."""

PLANS_REMEMBERED: Final = 32
"""What a plan needs is found once: it takes a few milliseconds, and is asked for repeatedly."""

EVERYDAY_BUCKET: Final = -172
"""Of scoring times of a millisecond; which one it is makes no difference."""


class Need(Struct, frozen=True):
    """How many requests of each arm a guardrail needs for a verdict; None: more than any ramp has.

    ``to_pass``: both versions without a fault, and equally fast. ``to_fail``: the canary version
    is twice as much worse as it may be, or half of its users (of its overlap) are missing. The
    ``limit`` is the plan's: a share of requests, a ratio of times, a number, a mean overlap.
    """

    guardrail: str
    limit: float | None
    to_pass: int | None
    to_fail: int | None


@lru_cache(maxsize=PLANS_REMEMBERED)
def needs_of(ramp: Ramp) -> tuple[Need, ...]:
    """Return what each guardrail of `ramp` that is on needs, in the order of its findings."""
    return tuple(_needs(ramp))


@lru_cache(maxsize=PLANS_REMEMBERED)
def requests_to_pass(ramp: Ramp) -> Mapping[str, int | None]:
    """Return the requests of each arm that a pass needs, by guardrail; as :class:`Need` has it."""
    good = cache(lambda count: _verdicts(ramp, count, _faultless(count)))
    return {guardrail: _least(good, guardrail, "pass") for guardrail in good(1)}


def _needs(ramp: Ramp) -> Iterator[Need]:
    limits = structs.asdict(ramp.guardrails) | {
        "min_requests": ramp.min_requests,
        "min_compared": ramp.min_requests,
        "min_overlap": ramp.shadow.min_overlap if ramp.shadow else None,
        "sample_ratio": None,
    }
    bad = cache(lambda count: _verdicts(ramp, count, _faulty(ramp, count)))
    for guardrail, to_pass in requests_to_pass(ramp).items():
        to_fail = _least(bad, guardrail, "fail")
        yield Need(guardrail, limits[guardrail], to_pass, to_fail)


def _verdicts(ramp: Ramp, count: int, canary: _Trial) -> dict[str, Verdict]:
    """Return the verdicts by guardrail, both arms having half of the users."""
    alpha, least = alpha_of(ramp), ramp.min_requests
    primary = _faultless(count).arm
    findings = judge(
        ramp.guardrails, canary.arm, primary, percentage=50, alpha=alpha, min_requests=least
    )
    if ramp.shadow is not None:
        overlap = ramp.shadow.min_overlap
        findings += judge_shadow(
            canary.shadow, min_overlap=overlap, alpha=alpha, min_compared=least
        )
    return {finding.guardrail: finding.verdict for finding in findings}


class _Trial(NamedTuple):
    arm: ArmCounts
    shadow: ShadowCounts


def _faultless(count: int) -> _Trial:
    arm = ArmCounts("", "", count, users=count, scoring={EVERYDAY_BUCKET: count})
    return _Trial(arm, ShadowCounts(count, overlap=count))


def _faulty(ramp: Ramp, count: int) -> _Trial:
    allowed = ramp.guardrails

    def faults(margin: float | None) -> int:
        return math.ceil(count * min(1.0, TIMES_THE_LIMIT * (margin or 0.0)))

    slower = TIMES_THE_LIMIT * (allowed.latency_ratio or 1.0)
    bucket = EVERYDAY_BUCKET + math.ceil(math.log(slower) / math.log(MAPPING.gamma))
    arm = ArmCounts(
        "",
        "",
        count,
        errors=faults(allowed.error_rate),
        fallbacks=faults(allowed.fallback_rate),
        empty=faults(allowed.empty_rate),
        users=count // 2,
        scoring={bucket: count},
    )
    overlap = ramp.shadow.min_overlap * count / 2 if ramp.shadow else 0.0
    return _Trial(arm, ShadowCounts(count, overlap=overlap))


def _least(
    verdicts: Callable[[int], Mapping[str, Verdict]], guardrail: str, wanted: Verdict
) -> int | None:
    """Return the least number that brings the verdict, where a larger one does; None above all."""

    def is_enough(count: int) -> bool:
        return count > 0 and verdicts(count)[guardrail] == wanted

    most = 1
    while not is_enough(most):
        most *= 4
        if most > MOST_REQUESTS:
            return None
    return bisect_left(range(most), True, key=is_enough)
