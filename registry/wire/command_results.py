"""Command results (topic ``control-results``): the outcome of a command."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct, field

from registry.wire.commands import CommandType
from registry.wire.field_types import AnswerError
from registry.wire.instants import InstantField
from registry.wire.origins import Origin, operator
from registry.wire.rollout_state import RolloutState

ResultType: TypeAlias = Literal[CommandType, "training"]
"""What the audit trail tells of: commands, and a training run that ended without a version."""
CommandStatus: TypeAlias = Literal["applied", "rejected", "duplicate"]


class CommandResult(Struct, frozen=True, omit_defaults=True):
    """What became of one command (topic ``control-results``); ``epoch`` is the state's after it.

    ``origin`` is the command's. ``reported_experiment`` is the epoch of the experiment that the
    command ended, if users had been counted in it: its report is in the registry.
    """

    command_id: str
    type: str
    environment: str
    status: CommandStatus
    epoch: int | None
    issued_by: str
    at: InstantField
    error: AnswerError | None = None
    before: RolloutState | None = None
    after: RolloutState | None = None
    reason: str | None = None
    origin: Origin = field(default_factory=operator)
    reported_experiment: int | None = None


def report_folder(environment: str, epoch: int) -> str:
    """Return where in the registry the report of the experiment of `epoch` lies."""
    return f"experiments/{environment}/{epoch}"
