"""The plan of a ramp before it starts: ``rollout apply --dry-run``.

Computes users, durations and numbers of requests without Kafka or workers. How many requests a
verdict needs is found by asking the guardrails themselves (`registry.guardrails.verdicts`).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Final, NamedTuple

from msgspec import Struct, structs
from rich.table import Table

from ops.views import terminal
from ops.views.terminal import Text
from registry.guardrails.histogram import MAPPING
from registry.guardrails.min_overlap import judge_shadow
from registry.guardrails.verdicts import judge
from registry.rollout.ramp_plan import (
    SENTENCES,
    alpha_of,
    arithmetic_of,
    patience_seconds,
    stages_of,
)
from registry.rollout.transitions import apply_command
from registry.wire.commands import Command
from registry.wire.counts import ArmCounts, ShadowCounts
from registry.wire.ramp_values import Ramp, StageKind, Verdict
from registry.wire.rollout_state import RolloutState

MOST_REQUESTS: Final = 10**9
"""A verdict that needs more is not reached by any ramp."""

TIMES_THE_LIMIT: Final = 2
"""How much worse than allowed a version is in `Need.to_fail`. At the limit itself no number of
requests is enough: a test that is right at all times cannot tell there."""

EVERYDAY_BUCKET: Final = -172
"""Of scoring times of a millisecond; which one it is makes no difference."""


class PlannedStage(Struct, frozen=True):
    """One stage: its share of users, their number if known, and its least and most seconds."""

    stage: int
    kind: StageKind
    what: str
    percentage: float
    users: int | None
    hold_seconds: float
    at_most_seconds: float


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


class Plan(Struct, frozen=True):
    """What a ramp comes to; seconds are those of all its environments together."""

    canary_version: str
    environments: tuple[str, ...]
    stages: tuple[PlannedStage, ...]
    to_promote_seconds: float
    to_promote_at_most_seconds: float
    to_roll_back_seconds: float
    false_alarm: float
    alpha: float
    min_requests: int
    needs: tuple[Need, ...]


def plan_of(command: Command, users: int | None) -> Plan:
    """Return what the ramp of `command` comes to.

    Parameters
    ----------
    command
        A ``rollout`` with a ``ramp``.
    users
        Number of users to assume; None if unknown.

    Raises
    ------
    RefusedCommand
        If the rules refuse it, whatever the state: steps that do not rise, or too fine for the
        bucketing; one that is left out is taken as the first state's, ``modulo``.
    """
    before = RolloutState(command.environment, 0, "fixed", primary_version="")
    after = apply_command(before, command, epoch=1, at="", problems={})
    assert after.ramp is not None  # the caller's command has one
    ramp, later = after.ramp.plan, after.ramp.environments
    arithmetic = arithmetic_of(ramp, 1 + len(later))
    return Plan(
        canary_version=after.canary_version or "",
        environments=(command.environment, *later),
        stages=tuple(_stages(ramp, later, users)),
        to_promote_seconds=arithmetic.to_promote,
        to_promote_at_most_seconds=arithmetic.to_promote_at_most,
        to_roll_back_seconds=arithmetic.to_roll_back,
        false_alarm=ramp.false_alarm,
        alpha=alpha_of(ramp),
        min_requests=ramp.min_requests,
        needs=tuple(_needs(ramp)),
    )


def _stages(ramp: Ramp, later: tuple[str, ...], users: int | None) -> Iterator[PlannedStage]:
    for place, stage in enumerate(stages_of(ramp, later)):
        waited = 0.0 if stage.kind == "soaking" else patience_seconds(ramp, stage.kind)
        yield PlannedStage(
            place,
            stage.kind,
            SENTENCES[stage.kind],
            stage.percentage,
            None if users is None else round(users * stage.percentage / 100),
            stage.hold_seconds,
            stage.hold_seconds + waited,
        )


def _needs(ramp: Ramp) -> Iterator[Need]:
    """Ask the guardrails with more and more requests until they have a verdict."""
    limits = structs.asdict(ramp.guardrails) | {
        "min_requests": ramp.min_requests,
        "min_compared": ramp.min_requests,
        "min_overlap": ramp.shadow.min_overlap if ramp.shadow else None,
        "sample_ratio": None,
    }
    good = cache(lambda count: _verdicts(ramp, count, _faultless(count)))
    bad = cache(lambda count: _verdicts(ramp, count, _faulty(ramp, count)))
    for guardrail in good(1):
        to_pass = _least(good, guardrail, "pass")
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


def plan_tables(plan: Plan) -> list[Table | Text]:
    """Return the plan as tables."""
    return [
        terminal.pairs(
            {
                "canary version": plan.canary_version,
                "environments": " → ".join(plan.environments),
                "time to promote": f"{_time(plan.to_promote_seconds)}, "
                f"at most {_time(plan.to_promote_at_most_seconds)}",
                "time to roll back": f"{_time(plan.to_roll_back_seconds)} from the evidence",
                "false alarms": f"at most {plan.false_alarm * 100:g} % of ramps of a version as "
                f"good, {plan.alpha:.2g} a guardrail and stage",
            }
        ),
        terminal.grid(
            ("#", "stage", "percentage #", "users #", "hold #", "at most #"),
            [
                (
                    stage.stage + 1,  # as `rollout status` counts them
                    stage.kind,
                    f"{stage.percentage:g} %",
                    "?" if stage.users is None else f"{stage.users:,}",
                    _time(stage.hold_seconds),
                    _time(stage.at_most_seconds),
                )
                for stage in plan.stages
            ],
        ),
        terminal.pairs({stage.kind: stage.what for stage in plan.stages}),
        terminal.grid(
            ("guardrail", "limit #", "requests to pass #", f"to fail at {TIMES_THE_LIMIT} x #"),
            [
                (
                    need.guardrail.replace("_", " "),
                    "" if need.limit is None else f"{need.limit:g}",
                    _count(need.to_pass),
                    _count(need.to_fail),
                )
                for need in plan.needs
            ],
        ),
        Text(
            "Requests per arm that a verdict needs in a stage, if both arms get equally many. To "
            "pass: both versions faultless and equally fast. To fail: the canary version exceeds "
            "its limit by a factor of two. Found by asking the guardrails with growing numbers.",
            "dim",
        ),
    ]


def _count(requests: int | None) -> str:
    return "never" if requests is None else f"{requests:,}"


def _time(seconds: float) -> str:
    """Write a time in its two largest units.

    >>> _time(5), _time(0), _time(2.5), _time(3600), _time(5430)
    ('5 s', '0 s', '2.5 s', '1 h', '1 h 30 min')
    """
    if seconds < 60:
        return f"{seconds:g} s"
    whole = round(seconds)
    units = (("d", whole // 86_400), ("h", whole // 3_600 % 24), ("min", whole // 60 % 60))
    parts = [f"{count} {unit}" for unit, count in (*units, ("s", whole % 60)) if count]
    return " ".join(parts[:2])
