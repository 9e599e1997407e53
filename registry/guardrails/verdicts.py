"""Guardrails: whether the canary version is worse than the primary by more than allowed.

Pure: counts in, findings out. Knows which guardrails exist; each has its own module, and
`registry.guardrails.min_overlap` judges `shadow`. Must not know where counts come from
(`registry.guardrails.fleet_counts`), nor what a verdict leads to
(`registry.rollout.ramp_decision`).

A ramp is judged every second, so each verdict must be valid however often it is checked: all rest
on `registry.guardrails.evidence`. Papers, arithmetic and limits:
``docs/explanation/guardrails.md``.
"""

from __future__ import annotations

from registry.guardrails.finding_text import enough_seen
from registry.guardrails.latency_ratio import judge_latency
from registry.guardrails.rate_guardrails import RATES, judge_rate
from registry.guardrails.sample_ratio import sample_ratio
from registry.wire.counts import ArmCounts
from registry.wire.ramp_values import Finding, Guardrails, Verdict


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
        exclusive. One that is beyond passes with at most ``PASS_ALPHA`` of
        `registry.guardrails.evidence`, or `alpha` if that is larger. (The users' split alone passes
        without evidence against it.)
    min_requests
        Least requests of the canary before anything is decided in its favour; what fails, fails
        before.
    compare_users
        False if `primary` is of an earlier stage, whose users say nothing of this one's split.
    """
    canary, primary = canary or ArmCounts("", ""), primary or ArmCounts("", "")
    findings = [enough_seen("min_requests", canary.requests, min_requests)]
    for rate in RATES:
        margin: float | None = getattr(guardrails, rate.guardrail)
        if margin is not None:
            findings.append(judge_rate(rate, margin, canary, primary, alpha))
    if guardrails.latency_ratio is not None:
        ratio, share = guardrails.latency_ratio, guardrails.latency_quantile
        findings.append(judge_latency(ratio, share, canary, primary, alpha))
    if guardrails.sample_ratio and compare_users:
        findings.append(sample_ratio(canary.users, primary.users, percentage / 100, alpha))
    return tuple(findings)


def worst(findings: tuple[Finding, ...]) -> Verdict:
    """Return the worst verdict of `findings`; no finding at all is an ``error``, never a pass.

    >>> worst(())
    'error'
    """
    order: tuple[Verdict, ...] = ("pass", "inconclusive", "error", "fail")
    return max((finding.verdict for finding in findings), key=order.index, default="error")
