"""Guardrails and goals on outcomes: whether users like the canary version as a ramp's plan asks.

Pure: sums over closed users in, findings out. As in `registry.guardrails.verdicts`, each verdict is
valid however often it is checked; the metrics are those of `registry.outcomes.arm_comparison`.
Must not know what a verdict leads to (`registry.rollout.ramp_decision`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from registry.guardrails.evidence import Sample, log_evidence_of_excess, pass_alpha
from registry.guardrails.finding_text import enough_seen, finite, no_data
from registry.guardrails.sample_ratio import sample_ratio
from registry.outcomes.arm_comparison import LEAST_USERS, ratio_variance
from registry.outcomes.partition_join import sums_by_arm
from registry.outcomes.ratio_bound import mixture_width
from registry.wire.outcome_records import ArmSums, PartitionSums
from registry.wire.ramp_values import (
    Finding,
    Goal,
    Guardrails,
    MarginKind,
    OutcomeMetric,
    Verdict,
)

GOAL: Final = "goal"
"""The finding of a plan's goal."""


class Bar(NamedTuple):
    """What the canary's metric must exceed: ``ratio`` times the primary's, plus ``margin``."""

    ratio: float
    margin: float

    @property
    def words(self) -> str:
        """The bar, as the end of a sentence."""
        if not self.margin:
            return (
                "the primary's" if self.ratio == 1 else f"{self.ratio * 100:g} % of the primary's"
            )
        return f"the primary's {'plus' if self.margin > 0 else 'minus'} {abs(self.margin):g}"


def bar_of(better_by: float, kind: MarginKind) -> Bar:
    """Return the bar of a margin; negative for what may be worse by it.

    >>> bar_of(-0.05, "relative"), bar_of(0.02, "absolute").words
    (Bar(ratio=0.95, margin=0.0), "the primary's plus 0.02")
    """
    return Bar(1 + better_by, 0.0) if kind == "relative" else Bar(1.0, better_by)


class Evidence(NamedTuple):
    """Whether a metric is shown to be below its bar, or above it; at most one is true."""

    is_below: bool
    is_above: bool


def judge_step(
    guardrails: Guardrails,
    goal: Goal | None,
    reported: Iterable[PartitionSums],
    epoch: int,
    share: float,
    alpha: float,
) -> tuple[Finding, ...]:
    """Return what guardrails on outcomes, and the goal if this step decides, say of a step.

    Parameters
    ----------
    guardrails, goal
        Of the ramp's plan.
    reported
        What the heartbeats say, of whatever epoch.
    epoch
        Of the step.
    share, alpha
        As for :func:`judge_outcomes`.
    """
    sums = sums_by_arm(reported, epoch)
    arms = sums.get("primary", ArmSums()), sums.get("canary", ArmSums())
    found = judge_outcomes(guardrails, *arms, share, alpha)
    return found if goal is None else found + judge_goal(goal, *arms, share, alpha)


def judge_outcomes(
    guardrails: Guardrails, primary: ArmSums, canary: ArmSums, share: float, alpha: float
) -> tuple[Finding, ...]:
    """Return what the guardrails on outcomes that are on say.

    Parameters
    ----------
    guardrails
        What the canary may be worse by.
    primary, canary
        Sums over the users whose window has closed.
    share
        Of users that the rule gives to the canary, 0..1 exclusive.
    alpha
        Most probability that one of them ever fails a canary within its margin; 0..1 exclusive.
    """
    margins: tuple[tuple[OutcomeMetric, float | None], ...] = (
        ("conversion", guardrails.conversion),
        ("outcomes_per_exposure", guardrails.outcomes_per_exposure),
    )
    return tuple(
        _finding(
            metric,
            metric,
            bar_of(-margin, guardrails.outcome_margin),
            (primary, canary),
            share,
            alpha,
            pass_alpha(alpha),
        )
        for metric, margin in margins
        if margin is not None
    )  # fmt: skip


def judge_goal(
    goal: Goal, primary: ArmSums, canary: ArmSums, share: float, alpha: float
) -> tuple[Finding, ...]:
    """Return whether enough users are known, and whether the goal is met.

    Parameters
    ----------
    goal
        What is asked. It is met if the canary is shown to be above its bar, at
        ``false_promotion``; refuted, and hopeless, if it is shown to be below.
    primary, canary, share
        As for :func:`judge_outcomes`.
    alpha
        Most probability that a version that meets the goal is ever taken for one that does not.
    """
    seen = min(primary.users, canary.users)
    bar = bar_of(goal.better_by, goal.margin)
    arms = primary, canary
    return (
        enough_seen("min_users", seen, goal.min_users),
        _finding(GOAL, goal.metric, bar, arms, share, alpha, goal.false_promotion),
    )


def goal_words(goal: Goal) -> str:
    """Return a goal as a sentence.

    >>> goal_words(Goal("conversion", better_by=0.02))
    "promoted only if conversion exceeds 102 % of the primary's; rolled back if that stays unclear"
    """
    bar = bar_of(goal.better_by, goal.margin).words
    otherwise = goal.inconclusive.replace("roll_back", "rolled back").replace("promote", "promoted")
    return (
        f"promoted only if {goal.metric.replace('_', ' ')} exceeds {bar}; "
        f"{otherwise} if that stays unclear"
    )


def _finding(
    name: str,
    metric: OutcomeMetric,
    bar: Bar,
    arms: tuple[ArmSums, ArmSums],
    share: float,
    alpha_below: float,
    alpha_above: float,
) -> Finding:
    primary, canary = arms
    fewest = min(primary.users, canary.users)
    if not fewest:
        return no_data(name, "users of both arms whose attribution window has closed")
    split = sample_ratio(canary.users, primary.users, share, alpha_below)
    if split.verdict in ("fail", "error"):
        return Finding(name, "error", f"the arms cannot be compared: {split.message}")
    if not primary.x and not canary.x:
        verdict: Verdict = "error" if fewest >= LEAST_USERS else "inconclusive"
        users = primary.users + canary.users
        return Finding(
            name,
            verdict,
            f"no outcome of {users:,} users: see RECSTREAM_OUTCOME_EVENTS and what is sent",
        )
    shown = _conversion if metric == "conversion" else _per_exposure
    estimates, found = shown(primary, canary, bar, alpha_below, alpha_above)
    verdict = "fail" if found.is_below else "pass" if found.is_above else "inconclusive"
    words = {
        "fail": f"below {bar.words}",
        "pass": f"above {bar.words}",
        "inconclusive": f"not clear yet whether above {bar.words}",
    }[verdict]
    unit = "{:.2%}".format if metric == "conversion" else "{:.4f}".format
    message = (
        f"{metric.replace('_', ' ')} {unit(estimates[1])} of {canary.users:,} users against "
        f"{unit(estimates[0])} of {primary.users:,}: {words}"
    )
    figures = {
        "primary": estimates[0],
        "canary": estimates[1],
        "primary_users": float(primary.users),
        "canary_users": float(canary.users),
        "ratio": bar.ratio,
        "margin": bar.margin,
    }
    return Finding(name, verdict, message, finite(figures))


def _conversion(
    primary: ArmSums, canary: ArmSums, bar: Bar, alpha_below: float, alpha_above: float
) -> tuple[tuple[float, float], Evidence]:
    ratio, margin = bar
    below = Sample(primary.converted, primary.users)
    above = Sample(canary.converted, canary.users)
    against = log_evidence_of_excess(below, above, -margin / ratio, 1 / ratio)
    for_it = log_evidence_of_excess(above, below, margin, ratio)
    return (below.mean, above.mean), Evidence(
        against >= -math.log(alpha_below),
        for_it >= -math.log(alpha_above),
    )


def _per_exposure(
    primary: ArmSums, canary: ArmSums, bar: Bar, alpha_below: float, alpha_above: float
) -> tuple[tuple[float, float], Evidence]:
    """Compare by the confidence sequence of ``R_canary - ratio · R_primary - margin``.

    Each side is judged by an interval of both, so its error is at most its alpha.
    """
    ratios = primary.x / primary.y, canary.x / canary.y
    if min(primary.users, canary.users) < LEAST_USERS:
        return ratios, Evidence(is_below=False, is_above=False)
    variance = ratio_variance(canary) + bar.ratio**2 * ratio_variance(primary)
    difference = ratios[1] - bar.ratio * ratios[0] - bar.margin
    users = primary.users + canary.users
    return ratios, Evidence(
        difference < -mixture_width(variance, users, alpha_below),
        difference > mixture_width(variance, users, alpha_above),
    )
