"""The plan of a ramp before it starts: ``rollout apply --dry-run``.

Computes users, durations and numbers of requests without Kafka or workers. How many requests a
verdict needs is found out in `registry.rollout.evidence_needs`.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from rich.table import Table

from ops.views import terminal
from ops.views.terminal import Text
from registry.rollout.evidence_needs import TIMES_THE_LIMIT, Need, needs_of
from registry.rollout.ramp_plan import (
    SENTENCES,
    alpha_of,
    arithmetic_of,
    patience_seconds,
    stages_of,
)
from registry.rollout.transitions import apply_command
from registry.wire.commands import Command
from registry.wire.ramp_values import Ramp, StageKind
from registry.wire.rollout_state import RolloutState


class PlannedStage(Struct, frozen=True):
    """One stage: its share of users, their number if known, and its least and most seconds."""

    stage: int
    kind: StageKind
    what: str
    percentage: float
    users: int | None
    hold_seconds: float
    at_most_seconds: float


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
    """Return the durations, users and requests of the ramp of `command`.

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
        needs=needs_of(ramp),
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
                "false alarms": f"at most {plan.false_alarm * 100:g} % of ramps of an equally "
                f"good version, {plan.alpha:.2g} a guardrail and stage",
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
