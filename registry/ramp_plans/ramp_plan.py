"""A ramp: the operator's plan, and its progress.

Values and their arithmetic; which plans are refused is in `registry.rollout.ramp_validation`. Must
not know what has been measured (`registry.guardrails.fleet_checks`), how it is judged
(`registry.guardrails.verdicts`) or when a ramp moves (`registry.rollout.ramp_decision`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from registry.wire.ramp_values import Finding, Guardrails, Ramp, RampState, StageKind, Verdict

LOADING_SECONDS: Final = 60.0
"""Least patience while workers load the version: a large one needs a minute, whatever the holds."""

PATIENCE_HOLDS: Final = 3
"""Holds that an inconclusive step is waited for, beyond its own, unless the plan says otherwise."""

SENTENCES: Final[dict[StageKind, str]] = {
    "preparing": "Every live worker loads the canary version; no user gets it yet.",
    "shadowing": "The canary version scores the same requests; no user sees its answers.",
    "stepping": "The canary version answers its share of users, and the guardrails compare.",
    "soaking": "The version is primary here; the ramp watches it before it ends or moves on.",
}
"""One sentence per kind of stage, the same on all pages, in commands and documents."""


class Stage(NamedTuple):
    """One stage of a ramp; ``percentage`` of users get the canary version in it."""

    kind: StageKind
    percentage: float
    hold_seconds: float


def stages_of(plan: Ramp, environments: tuple[str, ...] = ()) -> tuple[Stage, ...]:
    """Return the stages of a ramp that `environments` come after.

    >>> [stage.kind for stage in stages_of(Ramp(steps=(5.0, 100.0), hold_seconds=60))]
    ['preparing', 'stepping', 'stepping']
    """
    stages = [Stage("preparing", 0.0, 0.0)]
    if plan.shadow is not None:
        stages.append(Stage("shadowing", 0.0, plan.shadow.hold_seconds))
    stages += [Stage("stepping", step, plan.hold_seconds) for step in plan.steps]
    if plan.soak_seconds > 0 or environments:
        stages.append(Stage("soaking", 100.0, plan.soak_seconds))
    return tuple(stages)


def stage_of(ramp: RampState) -> Stage:
    """Return the stage that `ramp` is in, or was in when it ended."""
    stages = stages_of(ramp.plan, ramp.environments)
    return stages[min(ramp.stage, len(stages) - 1)]


def patience_seconds(plan: Ramp, kind: StageKind = "stepping") -> float:
    """Return how long after its hold an inconclusive stage of this kind is waited for."""
    patience = plan.patience_seconds
    if patience is None:
        patience = PATIENCE_HOLDS * plan.hold_seconds
    return max(patience, LOADING_SECONDS) if kind == "preparing" else patience


def guardrails_on(guardrails: Guardrails) -> int:
    """Return how many guardrails are turned on."""
    limits = (
        guardrails.error_rate,
        guardrails.fallback_rate,
        guardrails.empty_rate,
        guardrails.latency_ratio,
    )
    return sum(limit is not None for limit in limits) + guardrails.sample_ratio


def alpha_of(plan: Ramp) -> float:
    """Return the false-alarm probability of one guardrail in one stage.

    ``false_alarm / (stages × guardrails)``: by the union bound all of them together stay below
    ``false_alarm``.

    >>> round(alpha_of(Ramp(steps=(50.0, 100.0), hold_seconds=60)), 6)
    0.000667
    """
    stages = len(plan.steps) + (plan.shadow is not None) + 1
    return plan.false_alarm / (stages * max(guardrails_on(plan.guardrails), 1))


class Arithmetic(NamedTuple):
    """What a plan comes to, before it is started; times in seconds."""

    to_promote: float
    to_promote_at_most: float
    to_roll_back: float


def arithmetic_of(plan: Ramp, environments: int = 1) -> Arithmetic:
    """Return the least and most time until all users have the version, in all environments.

    ``to_promote = Σ hold_seconds + soak_seconds``; at most, each stage's patience comes on top.
    ``to_roll_back`` is the time from the evidence to the last worker acting: one look of the owner,
    one heartbeat and one change of state.
    """
    stages = stages_of(plan)
    least = sum(stage.hold_seconds for stage in stages)
    judged = [stage for stage in stages if stage.kind != "soaking"]
    most = least + sum(patience_seconds(plan, stage.kind) for stage in judged)
    return Arithmetic(least * environments, most * environments, ROLL_BACK_SECONDS)


ROLL_BACK_SECONDS: Final = 5.0
"""The contract's bound from the evidence to the last answer of the version rolled back."""


def worst(findings: tuple[Finding, ...]) -> Verdict:
    """Return the worst verdict of `findings`; no finding at all is an ``error``, never a pass.

    >>> worst(())
    'error'
    """
    order: tuple[Verdict, ...] = ("pass", "inconclusive", "error", "fail")
    return max((finding.verdict for finding in findings), key=order.index, default="error")
