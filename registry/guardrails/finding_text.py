"""Findings in words and figures: what a guardrail saw, and how strong the evidence is.

Pure. Must not decide anything (`registry.guardrails.evidence` weighs).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from registry.guardrails.evidence import pass_alpha
from registry.guardrails.histogram import DurationBounds
from registry.wire.ramp_values import Finding, Verdict


def enough_seen(name: str, seen: int, least: int) -> Finding:
    """Return whether as many were seen as are needed before anything is decided in favour."""
    noun = name.removeprefix("min_")
    figures = {"seen": float(seen), "least": float(least)}
    if seen < 0:
        return contradiction(name, f"{noun} {seen:,}")
    verdict: Verdict = "pass" if seen >= least else "inconclusive"
    return Finding(name, verdict, f"{noun} {seen:,}, at least {least:,} are needed", figures)


def no_data(guardrail: str, of_what: str) -> Finding:
    """Return the finding of a guardrail that has nothing to compare yet."""
    return Finding(guardrail, "inconclusive", f"no data yet: {of_what} are needed")


def contradiction(guardrail: str, message: str) -> Finding:
    """Return the finding of a guardrail whose counts are contradictory."""
    return Finding(guardrail, "error", f"{message}: these counts are contradictory")


def evidence_figures(worse: float, good: float, alpha: float) -> dict[str, float]:
    """Return the evidence for and against, and what is needed, as figures of a finding."""
    return {
        "log10_e_worse": worse / math.log(10),
        "log10_e_good": good / math.log(10),
        "log10_e_needed_to_fail": -math.log10(alpha),
        "log10_e_needed_to_pass": -math.log10(pass_alpha(alpha)),
    }


def finite(figures: Mapping[str, float]) -> dict[str, float]:
    """Leave out what JSON has no number for: bounds not known yet, and impossible evidence."""
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def excess_in_words(verdict: Verdict, limit: str) -> str:
    """Say whether the canary is worse by more than its limit."""
    words: Mapping[Verdict, str] = {
        "fail": f"more than {limit}",
        "pass": f"at most {limit}",
        "inconclusive": f"not clear yet whether more than {limit}",
    }
    return words[verdict]


def evidence_in_words(worse: float, good: float, alpha: float) -> str:
    """Say how strong the evidence is, and how strong it must be."""
    if worse >= good:
        return f"e-value {e_value_in_words(worse)}, {needed(alpha)}"
    return f"e-value {e_value_in_words(good)}, {needed(pass_alpha(alpha))}"


def needed(alpha: float) -> str:
    """Say the e-value that fails at this `alpha`."""
    return f"needs {e_value_in_words(-math.log(alpha))}"


def e_value_in_words(log_e: float) -> str:
    """Write an e-value of which the logarithm is known; only its order where a float ends."""
    digits = log_e / math.log(10)
    if math.isinf(digits):
        return "infinite"
    return f"{10**digits:.1e}" if abs(digits) < 300 else f"1e{digits:+.0f}"


def percent(share: float) -> str:
    """Write a share."""
    return f"{share * 100:.2f} %"


def points(margin: float) -> str:
    """Write a margin."""
    return f"{margin * 100:g} percentage point{'' if margin == 0.01 else 's'}"


def span(middle: float, bounds: DurationBounds) -> str:
    """Write a time and the bounds that it is known within."""
    upper = "?" if math.isinf(bounds.upper) else f"{bounds.upper * 1000:.2f}"
    return f"{middle * 1000:.2f} ms ({bounds.lower * 1000:.2f} to {upper})"
