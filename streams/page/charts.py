"""The charts of the status page: which version answers which users, the progress of a ramp or a
training run.

Pure functions of a status: what is drawn, not how. Must not know HTML.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from registry.ramp_plans.ramp_stages import stages_of
from registry.rollout.assignment import arms_of, canary_share
from registry.rollout.current_phase import words_for
from registry.rollout.trail_wording import ramp_words
from registry.wire.field_types import Variant
from registry.wire.instants import Instant
from registry.wire.ramp_values import Finding, RampState, StageKind, Verdict
from registry.wire.training_records.training_messages import (
    TrainingResult,
    TrainingRun,
    TrainingStage,
)
from streams.page.status import Status


@dataclass(frozen=True, slots=True)
class ArmSegment:
    """One segment of the split bar; ``percentage`` of users, 0..100."""

    variant: Variant
    version: str
    percentage: float
    residency: str

    @property
    def tone(self) -> Literal["primary", "canary"]:
        """Its colour; the two arms of an A/B test have the colours of their versions."""
        return "canary" if self.variant in ("canary", "B") else "primary"


@dataclass(frozen=True, slots=True)
class Rung:
    """One stage of a ramp; ``percentage`` of users, ``filled`` of its hold has passed, 0..1."""

    kind: StageKind
    percentage: float
    hold_seconds: float
    state: Literal["done", "current", "coming", "rolled_back", "cancelled"]
    spent_seconds: float | None = None

    @property
    def filled(self) -> float:
        """How much of its bar is drawn, 0..1."""
        if self.state != "current":
            return float(self.state != "coming")
        if not self.hold_seconds:
            return 0.0
        return min((self.spent_seconds or 0.0) / self.hold_seconds, 1.0)


@dataclass(frozen=True, slots=True)
class StageBar:
    """One stage of a training run; ``filled`` is how much of its bar is drawn, 0..1."""

    stage: TrainingStage
    state: Literal["done", "current", "failed", "waiting", "skipped"]
    filled: float
    seconds: float | None


def arms(status: Status) -> tuple[ArmSegment, ...]:
    """Return who answers which percentage of users, or of each answer, if they are interleaved."""
    state = status.rollout
    if state is None:
        return ()
    residency = {version.version: version.residency for version in status.versions}
    canary = 50.0 if state.strategy == "interleave" else canary_share(state)
    return tuple(
        ArmSegment(
            variant,
            version,
            canary if version == state.canary_version else 100 - canary,
            residency.get(version, "absent"),
        )
        for version, variant in arms_of(state).items()
    )


def rungs(ramp: RampState, now: Instant) -> tuple[Rung, ...]:
    """Return all stages of `ramp`, in their order.

    Parameters
    ----------
    ramp
        One in progress, or one that has ended.
    now
        The moment to draw.
    """
    spent = max((now - ramp.since).total_seconds(), 0.0)
    return tuple(
        Rung(stage.kind, stage.percentage, stage.hold_seconds, "done")
        if place < ramp.stage or ramp.outcome == "promoted"
        else Rung(stage.kind, stage.percentage, stage.hold_seconds, "coming")
        if place > ramp.stage
        else Rung(
            stage.kind, stage.percentage, stage.hold_seconds, ramp.outcome or "current", spent
        )
        for place, stage in enumerate(stages_of(ramp.plan, ramp.environments))
    )


def steps(run: TrainingRun) -> tuple[StageBar, ...]:
    """Return all stages of `run`, in their order.

    While it is in progress, ``stage`` is the current one. Once it has ended, the stages with a
    duration are those that it reached; if it published nothing, it ended in the last of them.
    """
    stages: tuple[TrainingStage, ...] = get_args(TrainingStage)
    if run.result is not None:
        return tuple(_ended(stage, run, run.result) for stage in stages)
    at = stages.index(run.stage)
    return tuple(
        StageBar(stage, "done", 1, None)
        if place < at
        else StageBar(stage, "current", run.done / run.total if run.total else 0, None)
        if place == at
        else StageBar(stage, "waiting", 0, None)
        for place, stage in enumerate(stages)
    )


def _ended(stage: TrainingStage, run: TrainingRun, result: TrainingResult) -> StageBar:
    seconds = result.stage_seconds.get(stage)
    if stage == "announce":
        if result.code == "not_announced":
            return StageBar(stage, "failed", 1, seconds)
        return (
            StageBar(stage, "done", 1, seconds)
            if run.announced
            else StageBar(stage, "skipped", 0, None)
        )
    if seconds is None:
        return StageBar(stage, "skipped", 0, None)
    last = [name for name in get_args(TrainingStage) if name in result.stage_seconds][-1]
    ended_here = stage == last and result.status != "published"
    return StageBar(stage, "failed" if ended_here else "done", 1, seconds)


def headline(status: Status) -> str:
    """Return the state in one sentence, for screen readers.

    It changes when something has happened, not when time passes.
    """
    if status.rollout is None:
        return "No version is deployed."
    words = words_for(status.rollout)
    if status.rollout.ramp is not None:
        words += f", ramp {ramp_words(status.rollout.ramp)}"
    if status.look is not None and status.look.verdict == "fail":
        words += ", a guardrail is failing"
    return f"{words}. {'Ready' if status.ready else 'Not ready'}."


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return `findings` with the worst verdict first, otherwise in their order."""
    order = get_args(Verdict)
    return sorted(findings, key=lambda finding: -order.index(finding.verdict))
