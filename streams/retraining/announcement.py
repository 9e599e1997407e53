"""Announcing: what the fleet and the trail are told of a training run. Pure.

Knows which command offers a version, and how the end of a run reads. Must not know how one runs.
"""

from __future__ import annotations

from registry.rollout.deploy import offer_version
from registry.settings import Settings
from registry.versions.manifest import digest
from registry.wire.command_results import CommandResult
from registry.wire.commands import Deploy, Rollout, Swap
from registry.wire.field_types import AnswerError
from registry.wire.origins import TRAINER
from registry.wire.rollout_state import RolloutState
from registry.wire.training_records.training_messages import TrainingResult, TrainingRun


def announce(
    version: str,
    deploy: Deploy,
    state: RolloutState | None,
    run: TrainingRun,
    settings: Settings,
) -> Swap | Rollout | None:
    """Return the command that offers `version` to the fleet; None if there is nothing to offer."""
    if deploy == "none":
        return None
    swap = Swap(
        command_id=f"announce-{digest(run.run_id.encode())[:32]}",
        issued_by=TRAINER + run.worker,
        origin="training",
        environment=settings.environment,
        reason=f"training run {run.run_id}, asked for by {run.requested_by}",
        model_version=version,
    )
    return offer_version(swap, deploy, state, settings.retrain_canary_percentage)


def end_of(
    run: TrainingRun, result: TrainingResult, state: RolloutState | None, environment: str, at: str
) -> CommandResult:
    """Return what the trail is told of a run that ended without a version.

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
        reason=f"training run {run.run_id}, asked for by {run.requested_by}",
    )
