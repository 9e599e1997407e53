"""Guardrails: whether the canary version is worse than the primary by more than it may be.

Pure: counts in, findings out. Knows which figures are compared, and when evidence is enough. Must
not know where counts come from (`registry.guardrails.fleet_checks`), nor what a verdict leads to
(`registry.rollout.ramp_decision`).

A ramp is judged every second, so each verdict must hold whenever it is looked at: all of them rest
on `registry.guardrails.evidence`. Papers, arithmetic and limits:
``docs/explanation/guardrails.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from registry.guardrails.evidence import (
    Sample,
    log_e_value,
    log_evidence_above,
    log_evidence_below,
    log_evidence_of_excess,
    quantile_bounds,
)
from registry.guardrails.histogram import Bounds, quantile
from registry.wire.counts import ArmCounts, ShadowCounts
from registry.wire.ramp_values import Finding, Guardrails, Verdict

USERS_JUDGED: Final = 100
"""Least users before their split may pass. With 100, at a usual `alpha` of 1/3000, 73 of 100 where
50 belong, or 18 where 5 do, have already failed; with fewer, almost any split would pass."""

PASS_ALPHA: Final = 0.05
"""Most probability that one guardrail ever passes, in one stage, a canary beyond its limit. Looser
than what fails one: a pass only lets the next step begin, which judges anew, while a false alarm
ends the ramp; and it halves the requests that a good version needs."""


def judge(
    guardrails: Guardrails,
    canary: ArmCounts | None,
    primary: ArmCounts | None,
    *,
    percentage: float,
    alpha: float,
    min_requests: int,
    compare_users: bool = True,
) -> tuple[Finding, ...]:
    """Return what each guardrail that is on says, and whether there were requests enough.

    Parameters
    ----------
    guardrails
        What the canary may be worse by.
    canary, primary
        Counts of the same window; None if nobody has reported any. No requests in one of them is
        ``inconclusive``, counts that contradict themselves are an ``error``.
    percentage
        Of users that the rule gives to the canary, 0..100.
    alpha
        Most probability that one guardrail ever fails a canary that is within its limit; 0..1
        exclusive. One that is beyond passes with at most :data:`PASS_ALPHA`, or `alpha` if that is
        larger. (The users' split alone passes for want of evidence against it.)
    min_requests
        Least requests of the canary before anything is decided in its favour; what fails, fails
        before.
    compare_users
        False if `primary` is of an earlier stage, whose users say nothing of this one's split.
    """
    canary, primary = canary or ArmCounts("", ""), primary or ArmCounts("", "")
    findings = [_enough("min_requests", canary.requests, min_requests)]
    for rate in RATES:
        margin: float | None = getattr(guardrails, rate.guardrail)
        if margin is not None:
            findings.append(_judge_rate(rate, margin, canary, primary, alpha))
    if guardrails.latency_ratio is not None:
        ratio, share = guardrails.latency_ratio, guardrails.latency_quantile
        findings.append(_judge_latency(ratio, share, canary, primary, alpha))
    if guardrails.sample_ratio and compare_users:
        findings.append(sample_ratio(canary.users, primary.users, percentage / 100, alpha))
    return tuple(findings)


def judge_shadow(
    counts: ShadowCounts, *, min_overlap: float, alpha: float, min_compared: int
) -> tuple[Finding, ...]:
    """Return whether both versions name the same items often enough, off to the side.

    A comparison that failed counts as no overlap at all. A least overlap of 0 allows anything; one
    of 1 allows no single difference, and the same answers throughout are then taken as a pass.

    Parameters
    ----------
    counts
        Sums over the comparisons.
    min_overlap
        Least mean overlap, 0..1.
    alpha
        As in :func:`judge`.
    min_compared
        Least comparisons before anything is decided in the canary's favour.
    """
    seen = (counts.compared, counts.failed)
    if min(seen) < 0 or not 0 <= counts.overlap <= counts.compared:
        message = f"overlap {counts.overlap:g} of {counts.compared:,}, failed {counts.failed:,}"
        return (_contradiction("min_overlap", message),)
    enough = _enough("min_compared", counts.compared, min_compared)
    if not sum(seen):
        return enough, _no_data("min_overlap", "comparisons")
    return enough, _judge_overlap(Sample(counts.overlap, sum(seen)), counts, min_overlap, alpha)


def sample_ratio(
    users_canary: int,
    users_primary: int,
    expected_share: float,
    alpha: float,
    names: tuple[str, str] = ("canary", "primary"),
) -> Finding:
    """Return whether the users that were seen are split as the rule says.

    Sequentially, so that it may be looked at all the time (Lindon and Malek 2022, with Jeffreys'
    prior). A mismatch means that the arms cannot be compared: buckets are computed wrongly, one
    arm's requests get lost, or the ids are not spread evenly.

    Parameters
    ----------
    users_canary, users_primary
        Different users seen in each arm; B and A of an A/B test.
    expected_share
        Share of users that the rule gives to the canary, 0..1.
    alpha
        Most probability that a right split ever fails.
    names
        What the message calls the two arms.
    """
    counted = f"users {users_canary:,} {names[0]}, {users_primary:,} {names[1]}"
    if min(users_canary, users_primary) < 0:
        return _contradiction("sample_ratio", counted)
    users = users_canary + users_primary
    if not users:
        return _no_data("sample_ratio", "users")
    log_e = log_e_value(Sample(users_canary, users), expected_share)
    missing = (expected_share > 0 and not users_canary) or (
        expected_share < 1 and not users_primary
    )
    enough = users >= USERS_JUDGED and not missing
    words: Mapping[Verdict, str] = {
        "fail": f"not the {_percent(expected_share)} that the rule says",
        "pass": f"the rule says {_percent(expected_share)}",
        "inconclusive": f"the rule says {_percent(expected_share)}, too few to tell",
    }
    verdict: Verdict = "inconclusive"
    if log_e >= -math.log(alpha):
        verdict = "fail"
    elif enough:
        verdict = "pass"
    classical = _chi_squared(users_canary, users, expected_share)
    message = (
        f"{counted}: {_percent(users_canary / users)} {names[0]}, {words[verdict]} "
        f"(e-value {_e(log_e)}, {_needed(alpha)}{classical.words})"
    )
    figures = {
        "canary_users": float(users_canary),
        "primary_users": float(users_primary),
        "seen_share": users_canary / users,
        "expected_share": expected_share,
        "log10_e_mismatch": log_e / math.log(10),
        "log10_e_needed": -math.log10(alpha),
    }
    return Finding("sample_ratio", verdict, message, _finite(figures | classical.figures))


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


def _judge_rate(
    rate: Rate, margin: float, canary: ArmCounts, primary: ArmCounts, alpha: float
) -> Finding:
    samples = [Sample(getattr(arm, rate.field), arm.requests) for arm in (canary, primary)]
    for sample in samples:
        if not 0 <= sample.total <= sample.count:
            message = f"{rate.word} {sample.total:,} of {sample.count:,} requests"
            return _contradiction(rate.guardrail, message)
    if not all(sample.count for sample in samples):
        return _no_data(rate.guardrail, "requests in both arms")
    trial, control = samples
    worse = log_evidence_of_excess(trial, control, margin)
    good = log_evidence_of_excess(control, trial, -margin)
    verdict = _verdict(worse, good, alpha)
    seen = f"{_percent(trial.mean)} of {trial.count:,} against {_percent(control.mean)} of"
    message = (
        f"{rate.word} {seen} {control.count:,}: "
        f"{_in_words(verdict, f'{_points(margin)} worse')} ({_evidence(worse, good, alpha)})"
    )
    figures = {
        "canary": trial.mean,
        "primary": control.mean,
        "canary_requests": float(trial.count),
        "primary_requests": float(control.count),
        "margin": margin,
        **_weights(worse, good, alpha),
    }
    return Finding(rate.guardrail, verdict, message, _finite(figures))


def _judge_latency(
    ratio: float, share: float, canary: ArmCounts, primary: ArmCounts, alpha: float
) -> Finding:
    for arm in (canary, primary):
        if any(count < 0 for count in arm.scoring.values()):
            return _contradiction("latency_ratio", f"scoring times {min(arm.scoring.values())}")
    middle = [quantile(arm.scoring, share) for arm in (canary, primary)]
    if middle[0] is None or middle[1] is None:
        return _no_data("latency_ratio", "scoring times in both arms")
    trial, control = (quantile_bounds(arm.scoring, share, alpha / 2) for arm in (canary, primary))
    verdict: Verdict = "inconclusive"
    if trial.lower > ratio * control.upper:
        verdict = "fail"
    else:
        half = _pass_alpha(alpha) / 2
        trial, control = (quantile_bounds(arm.scoring, share, half) for arm in (canary, primary))
        if trial.upper <= ratio * control.lower:
            verdict = "pass"
    counts = [sum(arm.scoring.values()) for arm in (canary, primary)]
    message = (
        f"scoring p{share * 100:g} {_span(middle[0], trial)} of {counts[0]:,} "
        f"against {_span(middle[1], control)} of {counts[1]:,}: "
        f"{_in_words(verdict, f'{ratio:g} times as long')}"
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
    return Finding("latency_ratio", verdict, message, _finite(figures))


def _judge_overlap(
    sample: Sample, counts: ShadowCounts, min_overlap: float, alpha: float
) -> Finding:
    below = log_evidence_below(sample, min_overlap)
    above = log_evidence_above(sample, min_overlap)
    if min_overlap == 0 or (min_overlap == 1 and sample.total == sample.count):
        verdict: Verdict = "pass"  # nothing could refute the one, nothing prove the other
    else:
        verdict = _verdict(below, above, alpha)
    words: Mapping[Verdict, str] = {
        "fail": f"less than {min_overlap:g}",
        "pass": f"at least {min_overlap:g}",
        "inconclusive": f"not clear yet whether at least {min_overlap:g}",
    }
    message = (
        f"mean overlap {sample.mean:.3f} of {sample.count:,} ({counts.failed:,} failed, counted as "
        f"0): {words[verdict]} ({_evidence(below, above, alpha)})"
    )
    figures = {
        "overlap": sample.mean,
        "min_overlap": min_overlap,
        "compared": float(counts.compared),
        "failed": float(counts.failed),
        **_weights(below, above, alpha),
    }
    return Finding("min_overlap", verdict, message, _finite(figures))


def _verdict(log_e_worse: float, log_e_good: float, alpha: float) -> Verdict:
    """Weigh the evidence for and against; at most one side has any, the other is at most 1."""
    if log_e_worse >= -math.log(alpha):
        return "fail"
    return "pass" if log_e_good >= -math.log(_pass_alpha(alpha)) else "inconclusive"


def _pass_alpha(alpha: float) -> float:
    return max(alpha, PASS_ALPHA)


def _enough(name: str, seen: int, least: int) -> Finding:
    noun = name.removeprefix("min_")
    figures = {"seen": float(seen), "least": float(least)}
    if seen < 0:
        return _contradiction(name, f"{noun} {seen:,}")
    verdict: Verdict = "pass" if seen >= least else "inconclusive"
    return Finding(name, verdict, f"{noun} {seen:,}, at least {least:,} are needed", figures)


def _no_data(guardrail: str, of_what: str) -> Finding:
    return Finding(guardrail, "inconclusive", f"no data yet: {of_what} are needed")


def _contradiction(guardrail: str, message: str) -> Finding:
    return Finding(guardrail, "error", f"{message}: these counts contradict themselves")


class _Classical(NamedTuple):
    words: str
    figures: dict[str, float]


def _chi_squared(seen: int, count: int, share: float) -> _Classical:
    """Describe a split by Pearson's test: right for one look that was planned, never used here.

    ``χ² = (s - n p)² / (n p (1 - p))`` with one degree of freedom, so ``P = erfc(√(χ² / 2))``.
    """
    variance = count * share * (1 - share)
    if variance <= 0:
        return _Classical("", {})
    statistic = (seen - count * share) ** 2 / variance
    p_value = math.erfc(math.sqrt(statistic / 2))
    words = f"; chi-squared {statistic:.2f}, p {p_value:.2g}, not valid when looked at repeatedly"
    return _Classical(words, {"chi_squared": statistic, "p_value": p_value})


def _weights(worse: float, good: float, alpha: float) -> dict[str, float]:
    return {
        "log10_e_worse": worse / math.log(10),
        "log10_e_good": good / math.log(10),
        "log10_e_needed_to_fail": -math.log10(alpha),
        "log10_e_needed_to_pass": -math.log10(_pass_alpha(alpha)),
    }


def _finite(figures: Mapping[str, float]) -> dict[str, float]:
    """Leave out what JSON has no number for: bounds not known yet, and impossible evidence."""
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def _in_words(verdict: Verdict, limit: str) -> str:
    words: Mapping[Verdict, str] = {
        "fail": f"more than {limit}",
        "pass": f"at most {limit}",
        "inconclusive": f"not clear yet whether more than {limit}",
    }
    return words[verdict]


def _evidence(worse: float, good: float, alpha: float) -> str:
    if worse >= good:
        return f"e-value {_e(worse)}, {_needed(alpha)}"
    return f"e-value {_e(good)}, {_needed(_pass_alpha(alpha))}"


def _needed(alpha: float) -> str:
    return f"needs {_e(-math.log(alpha))}"


def _e(log_e: float) -> str:
    """Write an e-value of which the logarithm is known; only its order where a float ends."""
    digits = log_e / math.log(10)
    if math.isinf(digits):
        return "infinite"
    return f"{10**digits:.1e}" if abs(digits) < 300 else f"1e{digits:+.0f}"


def _percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def _points(margin: float) -> str:
    return f"{margin * 100:g} percentage point{'' if margin == 0.01 else 's'}"


def _span(middle: float, bounds: Bounds) -> str:
    upper = "?" if math.isinf(bounds.upper) else f"{bounds.upper * 1000:.2f}"
    return f"{middle * 1000:.2f} ms ({bounds.lower * 1000:.2f} to {upper})"
