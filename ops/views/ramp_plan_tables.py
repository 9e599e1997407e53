"""The plan of a ramp before it starts, as tables."""

from __future__ import annotations

from rich.table import Table

from ops.views import terminal
from ops.views.terminal import Text
from registry.outcomes.outcome_guardrails import goal_words
from registry.ramp_plans.evidence_needs import TIMES_THE_LIMIT
from registry.rollout.ramp_dry_run import DryRun


def plan_tables(plan: DryRun) -> list[Table | Text]:
    """Return the plan as tables."""
    return [
        terminal.pairs(
            {
                "canary version": plan.canary_version,
                "environments": " → ".join(plan.environments),
                **({} if plan.goal is None else {"goal": goal_words(plan.goal)}),
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
                    _number(need.to_pass),
                    _number(need.to_fail),
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


def _number(requests: int | None) -> str:
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
