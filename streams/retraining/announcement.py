"""Announcing: what the fleet and the audit trail learn of a training run. Pure.

Knows which command deploys a version, and how the end of a run is worded. Must not know how one
runs.
"""

from __future__ import annotations

from registry.rollout.deploy_or_wait import Offer, offer_version
from registry.rollout.policy_file import RampPolicy
from registry.rollout.trail_wording import REASON_CHARACTERS, cause_words
from registry.settings import Settings
from registry.versions.manifest import digest
from registry.wire.command_results import CommandResult
from registry.wire.commands import Rollout, Swap
from registry.wire.field_types import AnswerError
from registry.wire.instants import Instant
from registry.wire.origins import TRAINER
from registry.wire.ramp_values import RampCause
from registry.wire.rollout_state import RolloutState
from registry.wire.training_records.training_messages import TrainingResult, TrainingRun


def announce(
    version: str,
    deploy: Offer,
    state: RolloutState | None,
    run: TrainingRun,
    settings: Settings,
    ramp: RampPolicy | None = None,
) -> Swap | Rollout:
    """Return the command that offers `version` to the fleet; `ramp` is how, with that deploy."""
    cause = cause_of(run)
    swap = Swap(
        command_id=f"announce-{digest(run.run_id.encode())[:32]}",
        issued_by=TRAINER + run.worker,
        origin="training",
        environment=settings.environment,
        reason=reason_of(cause),
        model_version=version,
    )
    percentage = settings.retrain_canary_percentage
    return offer_version(swap, deploy, state, percentage, ramp, cause)


def cause_of(run: TrainingRun) -> RampCause:
    """Return what a ramp carries of the run that its version comes from."""
    return RampCause(run.run_id, run.requested_by, run.reason)


def reason_of(cause: RampCause) -> str:
    """Return the reason of a command about a run, as long as one may be."""
    return cause_words(cause)[:REASON_CHARACTERS]


def end_of(
    run: TrainingRun,
    result: TrainingResult,
    state: RolloutState | None,
    environment: str,
    at: Instant,
) -> CommandResult:
    """Return what the trail says of a run whose version, if it has one, is not offered.

    It has an id and a type of its own: there is one result per command, and that of the ``retrain``
    came when the run began.
    """
    return CommandResult(
        command_id=f"ended-{digest(run.run_id.encode())[:32]}",
        type="training",
        environment=environment,
        status="rejected",
        epoch=state.epoch if state else None,
        issued_by=TRAINER + run.worker,
        origin="training",
        at=at,
        error=AnswerError(result.code or result.status, result.reason or result.status),
        reason=reason_of(cause_of(run)),
    )
