"""Ramping: when a ramp advances, rolls back or waits, and the command that it then issues.

The decision core of automatic ramps: a pure function of the control log, the fleet's heartbeats and
the time. Nothing is remembered between two looks, so any owner of the control partition can
continue after the last one died. Each command carries ``expected_epoch`` and an id derived from the
epoch: two owners that look at once issue the same command, and an operator who was faster wins.

A look combines the stage's findings to the worst verdict, and looks up the action in a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from msgspec.structs import replace

from registry.guardrails.fleet_counts import arms_at
from registry.guardrails.verdicts import worst
from registry.outcomes.outcome_guardrails import GOAL
from registry.ramp_plans.ramp_durations import stage_patience_seconds
from registry.ramp_plans.ramp_stages import Stage, stage_of, stages_of
from registry.rollout.assignment import partner_of
from registry.rollout.command_log import ControlLog
from registry.rollout.ramp_handover import hand_over, with_hand_over
from registry.rollout.ramp_transitions import ramp_under_way
from registry.rollout.stage_findings import findings_of
from registry.rollout.trail_wording import with_cause
from registry.wire.command_results import CommandResult
from registry.wire.commands import Abort, Command, Judged, Promote, Rollback, Step
from registry.wire.counts import ArmCounts
from registry.wire.heartbeats import Heartbeat
from registry.wire.origins import RAMP
from registry.wire.ramp_values import Finding, Ramp, RampState, Verdict
from registry.wire.rollout_state import RolloutState

Moving = TypeVar("Moving", bound=Judged)
Moment: TypeAlias = Literal["early", "due", "overdue"]
Action: TypeAlias = Literal["hold", "advance", "roll_back"]

ACTIONS: Final[Mapping[tuple[Moment, Verdict], Action]] = {
    ("early", "pass"): "hold",
    ("early", "inconclusive"): "hold",
    ("early", "error"): "hold",
    ("early", "fail"): "roll_back",
    ("due", "pass"): "advance",
    ("due", "inconclusive"): "hold",
    ("due", "error"): "hold",
    ("due", "fail"): "roll_back",
    ("overdue", "pass"): "advance",
    ("overdue", "inconclusive"): "roll_back",
    ("overdue", "error"): "roll_back",
    ("overdue", "fail"): "roll_back",
}
"""Every cell of moment × verdict, the same in each stage. ``early``: within the stage's hold;
``due``: after it; ``overdue``: when its patience has run out as well."""


class Look(NamedTuple):
    """What one look at a ramp found. ``due_in_seconds`` is until the hold ends, 0 once it has."""

    stage: Stage
    moment: Moment
    findings: tuple[Finding, ...]
    verdict: Verdict
    action: Action
    due_in_seconds: float


def look(state: RolloutState | None, fleet: Sequence[Heartbeat], now: float) -> Look | None:
    """Judge the ramp in progress; None if there is none.

    Parameters
    ----------
    state
        The rollout state.
    fleet
        The latest heartbeat of each worker.
    now
        Seconds since the epoch.
    """
    ramp = ramp_under_way(state)
    if ramp is None or state is None:
        return None
    stage = stage_of(ramp)
    elapsed = now - ramp.since.timestamp()
    findings = findings_of(state, ramp, stage, fleet, now)
    moment = _moment(ramp, stage, elapsed)
    verdict = worst(_deciding(ramp.plan, moment, findings))
    action = "hold" if ramp.paused else ACTIONS[moment, verdict]
    return Look(stage, moment, findings, verdict, action, max(stage.hold_seconds - elapsed, 0.0))


def next_commands(
    log: ControlLog,
    fleet: Sequence[Heartbeat],
    now: float,
    handed_over: CommandResult | None = None,
) -> tuple[Command, ...]:
    """Return what the ramp commands now: nothing, or one command.

    At the end of a soak that other environments come after, it is first the next one's ramp, again
    and again under the same id; once its result is known, the end of this one, which reports it.

    Parameters
    ----------
    log, fleet, now
        As for :func:`look`.
    handed_over
        What became of the next environment's ramp; None while that is not known.
    """
    seen = look(log.state, fleet, now)
    if seen is None or log.state is None or log.state.ramp is None:
        return ()
    state, ramp = log.state, log.state.ramp
    if seen.action == "roll_back":
        return (_back(log, state, seen.findings, _why_back(seen, ramp)),)
    if seen.action == "hold":
        return ()
    if seen.stage.kind == "soaking" and ramp.environments and handed_over is None:
        return (hand_over(state, ramp),)
    forward = _forward(state, ramp, seen, fleet)
    refusal = _refusal(log, forward)
    if refusal is not None:
        finding = Finding("command", "fail", f"{forward.type} was refused: {refusal}")
        return (_back(log, state, (*seen.findings, finding), finding.message),)
    if handed_over is not None and seen.stage.kind == "soaking" and ramp.environments:
        forward = with_hand_over(forward, ramp, handed_over)
    return (forward,)


def _moment(ramp: RampState, stage: Stage, elapsed: float) -> Moment:
    if elapsed < stage.hold_seconds:
        return "early"
    patience = stage_patience_seconds(ramp.plan, stage)
    return "due" if elapsed < stage.hold_seconds + patience else "overdue"


def _deciding(plan: Ramp, moment: Moment, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return the findings that decide: a goal that is still not clear after its patience does not,
    if its plan then promotes. Too few users are a finding of their own, and decide; so does a goal
    for which nothing could be compared.
    """
    if moment != "overdue" or plan.goal is None or plan.goal.inconclusive != "promote":
        return findings
    return tuple(each for each in findings if not _is_open_goal(each))


def _is_open_goal(finding: Finding) -> bool:
    """Tell whether both arms were compared, and may be alike. Without figures none was compared."""
    is_compared = finding.guardrail == GOAL and bool(finding.figures)
    return is_compared and finding.verdict == "inconclusive"


def _forward(
    state: RolloutState, ramp: RampState, seen: Look, fleet: Sequence[Heartbeat]
) -> Step | Promote:
    stages = stages_of(ramp.plan, ramp.environments)
    following = ramp.stage + 1
    reason = f"{_words(seen.stage)}: {_why_forward(seen)}"
    baseline = _baseline(state, fleet)
    is_soaking, is_last = seen.stage.kind == "soaking", following == len(stages)
    if not is_soaking and (is_last or stages[following].kind == "soaking"):
        return _command(state, Promote, seen.findings, reason, baseline=baseline)
    return _command(state, Step, seen.findings, reason, baseline=baseline, step=following)


def _baseline(state: RolloutState, fleet: Sequence[Heartbeat]) -> ArmCounts | None:
    """Return what the primary did in this stage, the canary beside it; None if no user had it, or
    each had both.
    """
    if state.canary_version is None or state.canary_percentage >= 100 or partner_of(state):
        return None
    arms = [arm for arm in arms_at(fleet, state.epoch) if arm.version == state.primary_version]
    return replace(arms[0], latency={}, users=0) if arms and arms[0].requests else None


def _back(
    log: ControlLog, state: RolloutState, findings: tuple[Finding, ...], reason: str
) -> Abort | Rollback:
    """Return the command that rolls back; if a rollback was refused, one that ends the ramp and
    says so.
    """
    if state.canary_version is not None:
        return _command(state, Abort, findings, reason)
    rollback = _command(state, Rollback, findings, reason)
    refusal = _refusal(log, rollback)
    if refusal is None:
        return rollback
    return _command(state, Abort, findings, f"rollback was refused: {refusal}; {reason}")


def _command(
    state: RolloutState,
    kind: type[Moving],
    findings: tuple[Finding, ...],
    reason: str,
    **arguments: Any,
) -> Moving:
    return kind(
        command_id=f"ramp-{state.epoch}-{kind.__struct_config__.tag}",
        issued_by=RAMP,
        origin="ramp",
        environment=state.environment,
        expected_epoch=state.epoch,
        reason=with_cause(reason, state.ramp),
        findings=findings,
        **arguments,
    )


def _refusal(log: ControlLog, command: Command) -> str | None:
    """Return why this very command was refused before; retrying would not help."""
    for decided in log.remembered:
        if decided.result.command_id == command.command_id and decided.result.error is not None:
            return decided.result.error.message
    return None


def _why_forward(seen: Look) -> str:
    goal = next((each for each in seen.findings if each.guardrail == GOAL), None)
    if goal is None:
        return "all guardrails pass"
    if _is_open_goal(goal):
        return f"all guardrails pass, and the goal stayed unclear, which promotes: {goal.message}"
    return f"all guardrails pass, and the goal is met: {goal.message}"


def _why_back(seen: Look, ramp: RampState) -> str:
    """Say which findings send the ramp back, with their figures."""
    culprits = [finding for finding in seen.findings if finding.verdict == seen.verdict]
    words = f"{_words(seen.stage)}: {seen.verdict}"
    if seen.verdict != "fail":
        words += (
            f" for longer than {stage_patience_seconds(ramp.plan, seen.stage):g} s after the hold"
        )
    return "; ".join([words, *(f"{finding.guardrail}: {finding.message}" for finding in culprits)])


def _words(stage: Stage) -> str:
    return f"step of {stage.percentage:g} %" if stage.kind == "stepping" else stage.kind
