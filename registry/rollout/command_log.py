"""The control log: the state that a stream of commands adds up to, duplicates and redeliveries
included.

Pure. Kafka delivers a command at least once; the same record may come again after a crash, and the
same ``command_id`` may be produced twice. :func:`follow` turns both into one application. The rules
for a single command are in :mod:`registry.rollout.command_transitions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from registry.epochs import epoch_of, era_of
from registry.error_codes import CommandCode
from registry.errors import RefusedCommand
from registry.rollout.command_transitions import apply_command
from registry.rollout.expected_epoch import require_epoch
from registry.rollout.recreated_control_topic import (
    is_foreign,
    refuse_same_topic,
    require_known_topic,
)
from registry.wire.codec import encode
from registry.wire.command_results import CommandResult, CommandStatus
from registry.wire.commands import BeginEra, Command, Retrain
from registry.wire.field_types import AnswerError
from registry.wire.instants import Instant
from registry.wire.rollout_state import RolloutState

COMMANDS_REMEMBERED: Final = 256
"""Commands whose ids are known as duplicates. The whole trail is the control-results topic."""

REMEMBERED_BYTES: Final = 500_000
"""Of their results as JSON. The log is one record of the table's changelog, of which Faust's
producer takes a million bytes; more, and the owner crashes, and the next one with it."""


class Remembered(Struct, frozen=True):
    """One command that was decided, and where; states are left out to keep it small.

    ``offset`` counts through the eras, as an epoch does.
    """

    offset: int
    result: CommandResult


class ControlLog(Struct, frozen=True):
    """One environment after the command at ``last_offset``: its state and its latest commands.

    ``last_offset`` counts through the eras, as an epoch does. ``topic_id`` is the id of the control
    topic that the log follows; None in the log of an earlier release, or of a broker without ids.
    """

    last_offset: int
    state: RolloutState | None = None
    remembered: tuple[Remembered, ...] = ()
    topic_id: str | None = None


class Decision(NamedTuple):
    """The log after a command, and the result to report; ``is_new`` is False for a repetition."""

    log: ControlLog
    result: CommandResult
    is_new: bool


EMPTY_LOG: Final = ControlLog(last_offset=-1)


def follow(
    log: ControlLog,
    command: Command,
    *,
    offset: int,
    at: Instant,
    problems: Mapping[str, str],
    refusal: RefusedCommand | None = None,
    topic_id: str | None = None,
    traffic: float | None = None,
) -> Decision:
    """Decide one command.

    On a control topic that is not the log's, only ``begin_era`` is: all others are refused and not
    remembered, because their place in the log is unknown.

    Parameters
    ----------
    log
        The log so far.
    command
        The command at `offset` of the control topic.
    offset
        On the control topic; with the log's era it becomes the epoch if the command is applied.
    at
        The record's time, ISO 8601 in UTC.
    problems
        As for :func:`registry.rollout.command_transitions.apply_command`.
    refusal
        Why the caller cannot carry the command out, whatever the rules say.
    topic_id
        Of the control topic as it is now; None if this broker gives topics no ids.
    traffic
        As for :func:`registry.rollout.command_transitions.apply_command`.
    """
    era = era_of(log.last_offset)
    if isinstance(command, BeginEra) and is_foreign(log.topic_id, topic_id):
        return _begin_era(log, command, epoch_of(era + 1, offset), topic_id, at)
    try:
        require_known_topic(log.topic_id, topic_id)
    except RefusedCommand as error:
        return _refuse_unremembered(log, command, error, at)
    if log.topic_id is None:
        log = replace(log, topic_id=topic_id)
    return _follow(log, command, epoch_of(era, offset), at, problems, refusal, traffic)


def _follow(
    log: ControlLog,
    command: Command,
    offset: int,
    at: Instant,
    problems: Mapping[str, str],
    refusal: RefusedCommand | None,
    traffic: float | None,
) -> Decision:
    epoch = log.state.epoch if log.state else None
    earlier = next(
        (decided for decided in log.remembered if decided.result.command_id == command.command_id),
        None,
    )
    if earlier is not None and earlier.offset == offset:
        return Decision(log, earlier.result, is_new=False)
    if earlier is not None:
        return _remember(log, offset, _result(command, "duplicate", epoch, at), is_new=False)
    if offset <= log.last_offset:
        lost = AnswerError(
            CommandCode.REDELIVERED, f"decided before; offset {log.last_offset} is decided too"
        )
        return Decision(log, _result(command, "duplicate", epoch, at, error=lost), is_new=False)
    try:
        if refusal is not None:
            raise refusal
        if isinstance(command, BeginEra):
            refuse_same_topic()
        require_epoch(log.state, command)
        after = (
            log.state
            if isinstance(command, Retrain)
            else apply_command(
                log.state, command, epoch=offset, at=at, problems=problems, traffic=traffic
            )
        )
    except RefusedCommand as error:
        reason = AnswerError(error.code, str(error))
        return _remember(
            log, offset, _result(command, "rejected", epoch, at, error=reason), is_new=True
        )
    result = _result(
        command, "applied", after.epoch if after else None, at, before=log.state, after=after
    )
    return _remember(replace(log, state=after), offset, result, is_new=True)


def with_report(decision: Decision, epoch: int) -> Decision:
    """Return a new decision whose result says that the experiment of `epoch` has a report."""
    *earlier, last = decision.log.remembered
    last = replace(last, result=replace(last.result, reported_experiment=epoch))
    return Decision(
        replace(decision.log, remembered=(*earlier, last)),
        replace(decision.result, reported_experiment=epoch),
        decision.is_new,
    )


def _refuse_unremembered(
    log: ControlLog, command: Command, error: RefusedCommand, at: Instant
) -> Decision:
    epoch = log.state.epoch if log.state else None
    refused = AnswerError(error.code, str(error))
    return Decision(log, _result(command, "rejected", epoch, at, error=refused), is_new=False)


def _begin_era(
    log: ControlLog, command: Command, offset: int, topic_id: str | None, at: Instant
) -> Decision:
    """Follow the topic that is there now; the state stays, and is reported with the result."""
    epoch = log.state.epoch if log.state else None
    result = _result(command, "applied", epoch, at, before=log.state, after=log.state)
    return _remember(replace(log, topic_id=topic_id), offset, result, is_new=True)


def _remember(log: ControlLog, offset: int, result: CommandResult, *, is_new: bool) -> Decision:
    remembered = log.remembered
    if result.status != "duplicate":
        small = Remembered(offset, replace(result, before=None, after=None))
        remembered = _latest((*remembered, small))
    return Decision(
        replace(log, last_offset=max(offset, log.last_offset), remembered=remembered),
        result,
        is_new,
    )


def _result(
    command: Command,
    status: CommandStatus,
    epoch: int | None,
    at: Instant,
    *,
    error: AnswerError | None = None,
    before: RolloutState | None = None,
    after: RolloutState | None = None,
) -> CommandResult:
    return CommandResult(
        command_id=command.command_id,
        type=command.type,
        environment=command.environment,
        status=status,
        epoch=epoch,
        issued_by=command.issued_by,
        at=at,
        error=error,
        before=before,
        after=after,
        reason=command.reason,
        origin=command.origin,
    )


def _latest(commands: tuple[Remembered, ...]) -> tuple[Remembered, ...]:
    """Return as many of the last commands as may be remembered, by number and by size."""
    commands = commands[-COMMANDS_REMEMBERED:]
    sizes = accumulate(_size_bytes(command) for command in reversed(commands))
    kept = sum(size <= REMEMBERED_BYTES for size in sizes)
    return commands[len(commands) - kept :]


@lru_cache(maxsize=2 * COMMANDS_REMEMBERED)
def _size_bytes(command: Remembered) -> int:
    return len(encode(command))
