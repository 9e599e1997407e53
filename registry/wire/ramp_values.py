"""The values of a ramp: plan, guardrails, findings, progress."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from registry.wire.counts import ArmCounts
from registry.wire.instants import InstantField

Verdict: TypeAlias = Literal["pass", "inconclusive", "error", "fail"]
"""From good to bad; findings are combined by the worst."""

StageKind: TypeAlias = Literal["preparing", "shadowing", "interleaving", "stepping", "soaking"]
Outcome: TypeAlias = Literal["promoted", "rolled_back", "cancelled"]

OutcomeMetric: TypeAlias = Literal["conversion", "outcomes_per_exposure"]
"""Users with at least one outcome; outcomes by answers that were shown (`registry.outcomes`)."""

MarginKind: TypeAlias = Literal["relative", "absolute"]
"""Of a difference: a share of what the primary has, or the metric's own unit."""

Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Margin: TypeAlias = Annotated[float, Meta(gt=0, le=1)]
"""Above 0: that two rates are exactly equal, no number of requests can show."""

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=31_536_000)]
Percentage: TypeAlias = Annotated[float, Meta(gt=0, le=100)]


class Guardrails(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the canary version may be worse by, against the primary; ``null`` turns one off.

    Parameters
    ----------
    error_rate
        Share of requests, above 0: the canary's errors may exceed the primary's by this.
    fallback_rate, empty_rate
        The same for answers that fell back, and for answers without an item.
    latency_ratio
        The canary's scoring time may be this many times the primary's, at `latency_quantile`.
    latency_quantile
        Which quantile of the scoring time is compared. The median is clear after a hundred
        scorings; the tail of a busy machine says more of the machine than of the version.
    sample_ratio
        Whether the users that were seen must be split as the percentage says.
    conversion
        The share of users with an outcome may be lower by this; off unless it is given.
    outcomes_per_exposure
        The same of outcomes for each answer.
    outcome_margin
        Whether these two are shares of the primary's (0.05: at least 95 % of it; below 1), or
        absolute.
    """

    error_rate: Margin | None = 0.01
    fallback_rate: Margin | None = 0.05
    empty_rate: Margin | None = 0.01
    latency_ratio: Annotated[float, Meta(ge=1, le=1000)] | None = 2.0
    latency_quantile: Annotated[float, Meta(ge=0.5, le=0.999)] = 0.5
    sample_ratio: bool = True
    conversion: Margin | None = None
    outcomes_per_exposure: Margin | None = None
    outcome_margin: MarginKind = "relative"


class ShadowStep(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A ramp's first step without users: the canary version is compared off to the side.

    ``min_overlap`` is the mean share of the top k that both versions name, 0..1.
    """

    hold_seconds: Seconds
    min_overlap: Share
    sample_percentage: Percentage = 100.0


class InterleaveStep(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A ramp's stage between shadow and steps: each answer mixes both versions' lists.

    The ramp continues once `min_users` prefer one of the two, unless they prefer the primary
    version; then it is rolled back.
    """

    hold_seconds: Seconds
    min_users: Annotated[int, Meta(ge=1, le=10**9)] = 100


class Goal(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What users must show before the canary version is promoted: in the last step below 100 %.

    Parameters
    ----------
    metric
        What is compared.
    better_by
        The canary's must exceed the primary's by more than this; a negative one asks that it is not
        worse by that much.
    margin
        Whether `better_by` is a share of what the primary has, or absolute.
    min_users
        Users of each arm whose attribution window must have closed.
    patience_seconds
        How long after the step's hold the goal is waited for; by default as long as in any step.
    false_promotion
        Most probability that a version that misses the goal is promoted for it.
    inconclusive
        What follows if it is still not clear then.
    """

    metric: OutcomeMetric
    better_by: Annotated[float, Meta(gt=-1, le=1)] = 0.0
    margin: MarginKind = "relative"
    min_users: Annotated[int, Meta(ge=1, le=10**9)] = 200
    patience_seconds: Seconds | None = None
    false_promotion: Annotated[float, Meta(gt=0, le=0.5)] = 0.05
    inconclusive: Literal["roll_back", "promote"] = "roll_back"


class Ramp(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What an operator asks for: from the first of `steps` to all users, or back to none.

    Parameters
    ----------
    steps
        Percentages of users, each above the one before; after the last one comes ``promote``.
    hold_seconds
        Least time of each step.
    min_requests
        Least requests that the canary version must have answered in a step.
    patience_seconds
        How long an inconclusive step is waited for after its hold, before it is rolled back;
        by default three times `hold_seconds`.
    soak_seconds
        How long the promoted version is watched before the ramp ends or the next environment
        starts.
    false_alarm
        Most probability that a version as good as the primary, and as good as the goal asks, is
        rolled back by a failed guardrail or goal, in the whole ramp; shared out equally over its
        steps and guardrails.
    guardrails, shadow, goal, interleave
        See there.
    """

    steps: Annotated[tuple[Percentage, ...], Meta(min_length=1, max_length=100)]
    hold_seconds: Seconds
    min_requests: Annotated[int, Meta(ge=1, le=10**12)] = 1000
    guardrails: Guardrails = Guardrails()
    shadow: ShadowStep | None = None
    patience_seconds: Seconds | None = None
    soak_seconds: Seconds = 0.0
    false_alarm: Annotated[float, Meta(gt=0, le=0.5)] = 0.01
    goal: Goal | None = None
    interleave: InterleaveStep | None = None


class Finding(Struct, frozen=True, omit_defaults=True):
    """What one guardrail says of one step: its verdict, and the figures in words and numbers."""

    guardrail: str
    verdict: Verdict
    message: str
    figures: dict[str, float] = {}


class RampCause(Struct, frozen=True, omit_defaults=True):
    """The training run whose version is ramped: its id, who asked for it, and why."""

    run_id: str
    issued_by: str
    reason: str | None = None


class RampState(Struct, frozen=True, omit_defaults=True):
    """How far a ramp has come; part of the rollout state.

    Parameters
    ----------
    plan
        As it was asked for.
    ramp_id
        The id of the command that started it, in its first environment.
    stage
        Which of :func:`stages_of` it is in.
    since
        When that stage began.
    paused
        Whether an operator has stopped it; it then neither advances nor rolls back automatically.
    environments
        Those that come after this one.
    findings
        What the guardrails said when the ramp last moved.
    baseline
        What the primary version did in the last stage that had one: the 100 % step and the soak
        have no primary beside them, and are compared with it.
    outcome
        None while it is in progress.
    version
        Which it brings to users; older records do not say (None).
    cause
        The training run that it comes from; None if it was started by hand.
    asked
        The plan as it was asked for, if it was stretched to fit the traffic; else None.
    fit
        What its command said of traffic; passed on to the next environment.
    """

    plan: Ramp
    ramp_id: str
    stage: int
    since: InstantField
    paused: bool = False
    environments: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    baseline: ArmCounts | None = None
    outcome: Outcome | None = None
    version: str | None = None
    cause: RampCause | None = None
    asked: Ramp | None = None
    fit: bool | None = None
