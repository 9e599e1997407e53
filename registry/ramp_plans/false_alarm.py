"""``false_alarm``: how it is split over the guardrails of all stages of a ramp. Pure."""

from __future__ import annotations

from registry.ramp_plans.outcome_requirements import watches_outcomes
from registry.wire.ramp_values import Guardrails, Ramp


def guardrails_on(guardrails: Guardrails) -> int:
    """Return how many guardrails are turned on."""
    limits = (
        guardrails.error_rate,
        guardrails.fallback_rate,
        guardrails.empty_rate,
        guardrails.latency_ratio,
        guardrails.conversion,
        guardrails.outcomes_per_exposure,
    )
    return sum(limit is not None for limit in limits) + guardrails.sample_ratio


def alpha_of(plan: Ramp) -> float:
    """Return the false-alarm probability of one guardrail in one stage.

    ``false_alarm / (stages × guardrails)``: by the union bound all of them together stay below
    ``false_alarm``. A goal that is refuted counts as one of them, and so does the check of the
    split that comes with guardrails and a goal on outcomes.

    >>> round(alpha_of(Ramp(steps=(50.0, 100.0), hold_seconds=60)), 6)
    0.000667
    """
    before = (plan.shadow is not None) + (plan.interleave is not None)
    stages = len(plan.steps) + before + 1
    judged = guardrails_on(plan.guardrails) + (plan.goal is not None) + watches_outcomes(plan)
    return plan.false_alarm / (stages * max(judged, 1))
