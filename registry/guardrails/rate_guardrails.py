"""The guardrails ``error_rate``, ``fallback_rate`` and ``empty_rate``: shares of an arm's requests.

Pure.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from registry.guardrails.evidence import (
    Sample,
    log_evidence_of_excess,
    verdict_of,
)
from registry.guardrails.finding_text import (
    contradiction,
    evidence_figures,
    evidence_in_words,
    excess_in_words,
    finite,
    no_data,
    percent,
    points,
)
from registry.wire.counts import ArmCounts
from registry.wire.ramp_values import Finding


class Rate(NamedTuple):
    """A share of requests that a guardrail compares: its name, its count, and its word."""

    guardrail: str
    field: str
    word: str


RATES: Final = (
    Rate("error_rate", "errors", "errors"),
    Rate("fallback_rate", "fallbacks", "fallbacks"),
    Rate("empty_rate", "empty", "empty answers"),
)


def judge_rate(
    rate: Rate, margin: float, canary: ArmCounts, primary: ArmCounts, alpha: float
) -> Finding:
    """Return whether the canary's share is larger than the primary's by more than `margin`."""
    samples = [Sample(getattr(arm, rate.field), arm.requests) for arm in (canary, primary)]
    for sample in samples:
        if not 0 <= sample.total <= sample.count:
            message = f"{rate.word} {sample.total:,} of {sample.count:,} requests"
            return contradiction(rate.guardrail, message)
    if not all(sample.count for sample in samples):
        return no_data(rate.guardrail, "requests in both arms")
    trial, control = samples
    worse = log_evidence_of_excess(trial, control, margin)
    good = log_evidence_of_excess(control, trial, -margin)
    verdict = verdict_of(worse, good, alpha)
    seen = f"{percent(trial.mean)} of {trial.count:,} against {percent(control.mean)} of"
    message = (
        f"{rate.word} {seen} {control.count:,}: "
        f"{excess_in_words(verdict, f'{points(margin)} worse')} "
        f"({evidence_in_words(worse, good, alpha)})"
    )
    figures = {
        "canary": trial.mean,
        "primary": control.mean,
        "canary_requests": float(trial.count),
        "primary_requests": float(control.count),
        "margin": margin,
        **evidence_figures(worse, good, alpha),
    }
    return Finding(rate.guardrail, verdict, message, finite(figures))
