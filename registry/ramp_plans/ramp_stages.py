"""The stages of a ramp, by the operator's plan, and the one that it is in. Pure.

Which plans are refused is in `registry.ramp_plans.ramp_validation`, how long stages take in
`registry.ramp_plans.ramp_durations`. Must not know what has been measured
(`registry.guardrails.fleet_counts`), how it is judged (`registry.guardrails.verdicts`) or when a
ramp moves (`registry.rollout.ramp_decision`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from registry.wire.ramp_values import Ramp, RampState, StageKind

SENTENCES: Final[dict[StageKind, str]] = {
    "preparing": "Every live worker loads the canary version; no user gets it yet.",
    "shadowing": "The canary version scores the same requests; no user sees its answers.",
    "interleaving": "Each answer mixes both versions' lists; users show which they prefer.",
    "stepping": "The canary version answers its share of users, and the guardrails compare.",
    "soaking": "The version is primary here; the ramp watches it before it ends or moves on.",
}
"""One sentence per kind of stage, the same on all pages, in commands and documents."""


class Stage(NamedTuple):
    """One stage of a ramp; ``percentage`` of users get the canary version in it.

    ``decides`` if the plan's goal is judged in it.
    """

    kind: StageKind
    percentage: float
    hold_seconds: float
    decides: bool = False


def stages_of(plan: Ramp, environments: tuple[str, ...] = ()) -> tuple[Stage, ...]:
    """Return the stages of a ramp that `environments` come after.

    >>> [stage.kind for stage in stages_of(Ramp(steps=(5.0, 100.0), hold_seconds=60))]
    ['preparing', 'stepping', 'stepping']
    """
    stages = [Stage("preparing", 0.0, 0.0)]
    if plan.shadow is not None:
        stages.append(Stage("shadowing", 0.0, plan.shadow.hold_seconds))
    if plan.interleave is not None:
        stages.append(Stage("interleaving", 0.0, plan.interleave.hold_seconds))
    last = max((step for step in plan.steps if step < 100), default=None)
    stages += [
        Stage("stepping", step, plan.hold_seconds, plan.goal is not None and step == last)
        for step in plan.steps
    ]
    if plan.soak_seconds > 0 or environments:
        stages.append(Stage("soaking", 100.0, plan.soak_seconds))
    return tuple(stages)


def stage_of(ramp: RampState) -> Stage:
    """Return the stage that `ramp` is in, or was in when it ended."""
    stages = stages_of(ramp.plan, ramp.environments)
    return stages[min(ramp.stage, len(stages) - 1)]
