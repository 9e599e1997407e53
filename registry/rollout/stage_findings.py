"""What each stage of a ramp is judged by: which findings there are, and on what evidence. Pure.

With which counts the canary's are compared: `registry.ramp_plans.stage_baseline`. Must not know
what a verdict leads to (`registry.rollout.ramp_decision`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from registry.guardrails.fleet_counts import arms_at, shadow_at
from registry.guardrails.min_overlap import judge_shadow
from registry.guardrails.ramp_barrier import readiness
from registry.guardrails.silent_workers import survival
from registry.guardrails.verdicts import judge
from registry.interleaving.preference import tally_of
from registry.interleaving.preference_guardrail import judge_preference
from registry.outcomes.outcome_guardrails import judge_step
from registry.outcomes.partition_join import sums_by_arm
from registry.ramp_plans.false_alarm import alpha_of
from registry.ramp_plans.ramp_stages import Stage
from registry.ramp_plans.stage_baseline import arms_of_stage
from registry.wire.heartbeats import Heartbeat
from registry.wire.outcome_records import PartitionSums
from registry.wire.ramp_values import Finding, Ramp, RampState
from registry.wire.rollout_state import RolloutState


def findings_of(
    state: RolloutState, ramp: RampState, stage: Stage, fleet: Sequence[Heartbeat], now: float
) -> tuple[Finding, ...]:
    """Return what is found in `stage`, readiness first.

    Parameters
    ----------
    state, ramp, stage
        The rollout state, its ramp and the stage that this is in.
    fleet
        The latest heartbeat of each worker.
    now
        Seconds since 1970.
    """
    version = state.canary_version or state.primary_version
    ready = readiness(fleet, now, state.epoch, version)
    if stage.kind == "preparing":
        return (ready,)
    alive = survival(fleet, state.epoch, version)
    plan = ramp.plan
    if stage.kind == "shadowing":
        assert plan.shadow is not None
        compared = judge_shadow(
            shadow_at(fleet, state.epoch),
            min_overlap=plan.shadow.min_overlap,
            alpha=alpha_of(plan),
            min_compared=plan.min_requests,
        )
        return (ready, alive, *compared)
    if stage.kind == "interleaving":
        assert plan.interleave is not None
        tally = tally_of(sums_by_arm(_reported(fleet), state.epoch))
        found = judge_preference(tally, plan.interleave.min_users, alpha_of(plan))
        return (ready, alive, *found)
    return (ready, alive, *_judged(state, ramp, stage, fleet), *_liked(state, plan, stage, fleet))


def _liked(
    state: RolloutState, plan: Ramp, stage: Stage, fleet: Sequence[Heartbeat]
) -> tuple[Finding, ...]:
    """Judge what users did with the answers, where the primary is beside the canary."""
    if stage.kind != "stepping" or stage.percentage >= 100:
        return ()
    goal, share = plan.goal if stage.decides else None, stage.percentage / 100
    return judge_step(plan.guardrails, goal, _reported(fleet), state.epoch, share, alpha_of(plan))


def _judged(
    state: RolloutState, ramp: RampState, stage: Stage, fleet: Sequence[Heartbeat]
) -> tuple[Finding, ...]:
    compared = arms_of_stage(state, ramp, stage, arms_at(fleet, state.epoch))
    if compared is None:
        return ()
    return judge(
        ramp.plan.guardrails,
        compared.canary,
        compared.baseline,
        percentage=stage.percentage,
        alpha=alpha_of(ramp.plan),
        min_requests=ramp.plan.min_requests,
        compare_users=compared.has_primary,
    )


def _reported(fleet: Sequence[Heartbeat]) -> Iterator[PartitionSums]:
    return (part for heartbeat in fleet for part in heartbeat.outcomes)
