"""Taking over: a training run that a former owner left behind, or that an outage of Kafka ended.

Pure: the control log, the latest run and the fleet come in. A run is kept in the rollout table from
its command's result on, so a run without a result, of a worker that is gone, was interrupted. A new
owner retries it once, under a new id; a run that kills its worker each time must not go through the
whole fleet. The same applies to a run that lost Kafka, or the training lock with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from msgspec import Struct

from registry.error_codes import ErrorCode, TrainingCode
from registry.rollout.command_log import ControlLog, Remembered
from registry.wire.heartbeats import Heartbeat
from registry.wire.training_records.training_messages import TrainingRun

AGAIN: Final = "-again"
"""What the id of a second attempt ends with: for people, and for the previous release, which has no
other sign of a second attempt."""

LOST_TO_AN_OUTAGE: Final = frozenset({TrainingCode.LOST_LOCK, ErrorCode.TRANSPORT})
"""Codes of runs that ended because Kafka was away, or their process was stopped."""

SILENT_SECONDS: Final = 15.0
"""A worker that is silent for so long has ended, and its run with it. Shorter: the rebalance that
made us the owner delays heartbeats, and a live run is given up. Longer: only later."""


class Leftover(Struct, frozen=True):
    """What the owner finds.

    Parameters
    ----------
    run
        The run that ended with its worker; None if the command's run never began, or has a result.
    offset
        Of the ``retrain`` command, counted through the eras; None for a timer's run, and for a
        command that is no longer remembered.
    next_id
        Of the run to start; None if none is to be.
    repeats
        The run id of the first attempt, if the run to start is a second one.
    """

    run: TrainingRun | None
    offset: int | None
    next_id: str | None
    repeats: str | None = None


def find_leftover(
    log: ControlLog,
    run: TrainingRun | None,
    fleet: Iterable[Heartbeat],
    now: datetime,
    known: Collection[str],
) -> Leftover | None:
    """Return what was left behind; None if nothing was.

    Parameters
    ----------
    log
        Holds the latest commands, and where they are.
    run
        The latest that the rollout table knows.
    fleet
        The latest heartbeats.
    now
        The present, in UTC.
    known
        Ids of the runs that this worker has begun or given up itself.
    """
    retrains = [
        command
        for command in log.remembered
        if command.result.type == "retrain" and command.result.status == "applied"
    ]
    if run is not None and run.result is None:
        if run.run_id in known or _is_alive(run, fleet, now):
            return None
        return _second_attempt(run, run, retrains)
    if run is not None and run.result is not None and run.result.code in LOST_TO_AN_OUTAGE:
        second = _second_attempt(None, run, retrains)
        if second.next_id is not None and second.next_id not in known:
            return second
    if retrains and _never_began(retrains[-1], run, known):
        return Leftover(None, retrains[-1].offset, retrains[-1].result.command_id)
    return None


def _second_attempt(
    unfinished: TrainingRun | None, run: TrainingRun, retrains: Iterable[Remembered]
) -> Leftover:
    """Return the second attempt of `run`, if there may be one: not after a second, nor by guess."""
    asked = next((command for command in retrains if command.result.command_id == run.run_id), None)
    offset = asked.offset if asked else None
    if run.repeats is not None or (asked is None and run.origin != "timer"):
        return Leftover(unfinished, offset, None)
    return Leftover(unfinished, offset, run.run_id + AGAIN, repeats=run.run_id)


def _is_alive(run: TrainingRun, fleet: Iterable[Heartbeat], now: datetime) -> bool:
    """Tell whether the process that began the run lives; a namesake that started later is another.

    An instance is the worker's name and start, written as the run's start is.
    """
    latest = f"{run.worker}@{run.started_at}"
    return any(
        heartbeat.worker == run.worker and heartbeat.instance <= latest
        for heartbeat in fleet
        if not heartbeat.stopping and now.timestamp() - heartbeat.at <= SILENT_SECONDS
    )


def _never_began(last: Remembered, run: TrainingRun | None, known: Collection[str]) -> bool:
    """Tell whether no run came of the latest ``retrain`` command, nor any run after it."""
    command_id = last.result.command_id
    if command_id in known or (run and command_id in (run.run_id, run.repeats)):
        return False
    return run is None or run.started_at < last.result.at
