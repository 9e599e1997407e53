"""The guardrail ``latency_ratio``: the canary's scoring time against the primary's.

Pure.
"""

from __future__ import annotations

from registry.guardrails.evidence import (
    pass_alpha,
    quantile_bounds,
)
from registry.guardrails.finding_text import (
    contradiction,
    excess_in_words,
    finite,
    no_data,
    span,
)
from registry.guardrails.histogram import quantile
from registry.wire.counts import ArmCounts
from registry.wire.ramp_values import Finding, Verdict


def judge_latency(
    ratio: float, share: float, canary: ArmCounts, primary: ArmCounts, alpha: float
) -> Finding:
    """Return whether the canary's quantile `share` is more than `ratio` times the primary's."""
    for arm in (canary, primary):
        if any(count < 0 for count in arm.scoring.values()):
            return contradiction("latency_ratio", f"scoring times {min(arm.scoring.values())}")
    middle = [quantile(arm.scoring, share) for arm in (canary, primary)]
    if middle[0] is None or middle[1] is None:
        return no_data("latency_ratio", "scoring times in both arms")
    trial, control = (quantile_bounds(arm.scoring, share, alpha / 2) for arm in (canary, primary))
    verdict: Verdict = "inconclusive"
    if trial.lower > ratio * control.upper:
        verdict = "fail"
    else:
        half = pass_alpha(alpha) / 2
        trial, control = (quantile_bounds(arm.scoring, share, half) for arm in (canary, primary))
        if trial.upper <= ratio * control.lower:
            verdict = "pass"
    counts = [sum(arm.scoring.values()) for arm in (canary, primary)]
    message = (
        f"scoring p{share * 100:g} {span(middle[0], trial)} of {counts[0]:,} "
        f"against {span(middle[1], control)} of {counts[1]:,}: "
        f"{excess_in_words(verdict, f'{ratio:g} times as long')}"
    )
    figures = {
        "canary_seconds": middle[0],
        "canary_lower_seconds": trial.lower,
        "canary_upper_seconds": trial.upper,
        "primary_seconds": middle[1],
        "primary_lower_seconds": control.lower,
        "primary_upper_seconds": control.upper,
        "canary_timed": float(counts[0]),
        "primary_timed": float(counts[1]),
        "quantile": share,
        "ratio": ratio,
    }
    return Finding("latency_ratio", verdict, message, finite(figures))
