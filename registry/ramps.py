"""A ramp: the plan that an operator gives, and how far it has come.

Values, and the arithmetic of a plan. Must not know what has been measured (`registry.fleet`), how
it is judged (`registry.guardrails`) or when a ramp goes on (`registry.ramping`).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

from msgspec import Meta, Struct

from registry.counts import ArmCounts

Verdict: TypeAlias = Literal["pass", "inconclusive", "error", "fail"]
"""From good to bad; findings are combined by the worst."""

StageKind: TypeAlias = Literal["preparing", "shadowing", "stepping", "soaking"]
Outcome: TypeAlias = Literal["promoted", "rolled_back", "cancelled"]

Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Margin: TypeAlias = Annotated[float, Meta(gt=0, le=1)]
"""Above 0: that two rates are exactly equal, no number of requests can show."""

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=31_536_000)]
Percentage: TypeAlias = Annotated[float, Meta(gt=0, le=100)]

RAMP: Final = "ramp"
"""``issued_by`` of what a ramp commands by itself."""

LOADING_SECONDS: Final = 60.0
"""Least patience while workers load the version: a large one needs a minute, whatever the holds."""

PATIENCE_HOLDS: Final = 3
"""Holds that an inconclusive step is waited for, beyond its own, unless the plan says otherwise."""

SENTENCES: Final[dict[StageKind, str]] = {
    "preparing": "Every live worker loads the canary version; no user gets it yet.",
    "shadowing": "The canary version scores requests off to the side; no user sees it.",
    "stepping": "The canary version answers its share of users, and the guardrails compare.",
    "soaking": "The version is primary here; the ramp watches it before it ends or moves on.",
}
"""One sentence a phase, as every page, command and document says it."""


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
    """

    error_rate: Margin | None = 0.01
    fallback_rate: Margin | None = 0.05
    empty_rate: Margin | None = 0.01
    latency_ratio: Annotated[float, Meta(ge=1, le=1000)] | None = 2.0
    latency_quantile: Annotated[float, Meta(ge=0.5, le=0.999)] = 0.5
    sample_ratio: bool = True


class ShadowStep(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A ramp's first step without users: the canary version is compared off to the side.

    ``min_overlap`` is the mean share of the top k that both versions name, 0..1.
    """

    hold_seconds: Seconds
    min_overlap: Share
    sample_percentage: Percentage = 100.0


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
        Most probability that a version as good as the primary is rolled back by a guardrail, in
        the whole ramp; shared out equally over its steps and guardrails.
    guardrails, shadow
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


class Finding(Struct, frozen=True, omit_defaults=True):
    """What one guardrail says of one step: its verdict, and the figures in words and numbers."""

    guardrail: str
    verdict: Verdict
    message: str
    figures: dict[str, float] = {}


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
        When that stage began, ISO 8601 in UTC.
    paused
        Whether an operator has stopped it; it then goes neither forward nor back by itself.
    environments
        Those that come after this one.
    findings
        What the guardrails said when the ramp last moved.
    baseline
        What the primary version did in the last stage that had one: the 100 % step and the soak
        have no primary beside them, and are compared with it.
    outcome
        None while it goes on.
    version
        Which it brings to users; older records do not say (None).
    """

    plan: Ramp
    ramp_id: str
    stage: int
    since: str
    paused: bool = False
    environments: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    baseline: ArmCounts | None = None
    outcome: Outcome | None = None
    version: str | None = None


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
    return max((one.verdict for one in findings), key=order.index, default="error")
