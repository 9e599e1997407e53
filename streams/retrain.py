"""The retrain agent: starts training runs, follows them, and announces what they published.

Runs on the worker that owns the control partition; the child process (`python -m training`) takes a
fleet-wide lock, so that a change of owner cannot start a second run beside the first. On success it
produces a command as anybody else would; the control agent decides. A run that ends without a
version is told on control-results, beside the result of its command: that one was only that the run
begins. Must not know how to train.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from registry.errors import RecordError, RefusedCommand, TransportError
from registry.manifest import DataSnapshot, digest
from registry.records import (
    AnswerError,
    Command,
    CommandResult,
    Deploy,
    RolloutState,
    TrainingLine,
    TrainingProgress,
    TrainingResult,
    TrainingRun,
    encode,
)
from registry.rollout import ramp_under_way
from registry.settings import Settings
from registry.topics import Topics
from streams.delivery import Delivery, Outgoing
from streams.lookups import command_at, ends_of
from streams.metrics import Metrics
from streams.schedule import new_records, next_run_at
from streams.table import RolloutTable
from streams.takeover import TIMER, Interrupted, interrupted
from streams.view import RolloutView

logger = logging.getLogger(__name__)

PROGRESS_SECONDS: Final = 0.2
"""Least time between two table writes of one stage; each write goes to every worker."""

LINE_BYTES: Final = 1_000_000
"""Longest line of the child; its result carries the gate's checks."""

SKIPPED: Final = "too_few_new"
"""Code of a timer's run that did not begin: hardly anything was new."""

COUNTED_BY_CODE: Final[Mapping[str | None, str]] = {
    SKIPPED: "skipped",
    "out_of_memory": "out_of_memory",
    "timeout": "timeout",
}
"""Ends with a ``status`` of their own in ``training_runs_total``, by their code."""

_lines = msgspec.json.Decoder(TrainingLine)


class RetrainAgent:
    """At most one run at a time; see the module."""

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        worker: str,
        view: RolloutView,
        table: RolloutTable,
        delivery: Delivery,
        metrics: Metrics,
        environment: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._worker = worker
        self._view = view
        self._table = table
        self._delivery = delivery
        self._metrics = metrics
        self._environment = environment
        self._since = datetime.now(UTC)
        self._task: asyncio.Task[None] | None = None
        self._shown: TrainingRun | None = None
        self._known: set[str] = set()

    def refusal(self) -> RefusedCommand | None:
        """Return why no run can start now; None if one can."""
        if self._task is None or self._task.done():
            return None
        return RefusedCommand(
            "retrain: a training run is under way; wait for it", "training_running"
        )

    def start(self, command: Command) -> None:
        """Start the run that `command` asks for; it is in the rollout table when this returns."""
        self._task = asyncio.create_task(self._guarded(self._begun(command), command))

    def start_if_due(self, now: datetime) -> None:
        """Start what a former owner left behind, or the timer's run if nobody has run since."""
        if self.refusal() is not None:
            return
        last, fleet = self._view.training, self._view.fleet
        left = interrupted(self._view.log, last, fleet, now, self._known)
        if left is not None:
            self._task = asyncio.create_task(self._take_over(left))
            return
        after = self._since if last is None else datetime.fromisoformat(last.started_at)
        due_at = next_run_at(self._settings, after)
        if due_at is not None and due_at <= now and (last is None or last.result is not None):
            learned = last.result.snapshot if last and last.result else None
            command = self._timed(str(uuid.uuid4()))
            self._task = asyncio.create_task(self._guarded(self._begun(command), command, learned))

    async def stop(self) -> None:
        """End a run that is under way, with its child."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _timed(self, run_id: str) -> Command:
        return Command(run_id, "retrain", TIMER + self._worker)

    def _begun(self, command: Command) -> TrainingRun:
        now = _now()
        run = TrainingRun(command.command_id, self._worker, command.issued_by, now, now)
        self._known.add(run.run_id)
        self._show(run)
        return run

    async def _take_over(self, left: Interrupted) -> None:
        """End the run that a former owner left behind, and start it anew if that may help."""
        try:
            command = await self._command_of(left)
        except TransportError as error:  # the next look tries again
            logger.warning("an interrupted training run: %s", error)
            return
        if left.run is not None:
            self._known.add(left.run.run_id)
            then = f"it starts anew as {left.next_id}" if command else "it is not started again"
            reason = f"its worker {left.run.worker} ended, and the run with it; {then}"
            self._shown = left.run
            await self._finish(left.run, None, _failed(left.run, "worker_lost", reason))
        if command is not None:
            await self._guarded(self._begun(command), command)
        elif left.next_id is not None:
            self._known.add(left.next_id)

    async def _command_of(self, left: Interrupted) -> Command | None:
        if left.next_id is None:
            return None
        if left.offset is None:
            return self._timed(left.next_id)
        try:
            found = await asyncio.to_thread(
                command_at, self._settings, self._topics.control, left.offset
            )
        except RecordError as error:
            logger.error("offset %d of the control topic: %s", left.offset, error)
            return None
        return None if found is None else replace(found, command_id=left.next_id)

    async def _guarded(
        self, run: TrainingRun, command: Command, learned: DataSnapshot | None = None
    ) -> None:
        started, limit = time.monotonic(), self._settings.retrain_timeout
        try:
            result = await self._skipped(run, learned)
            if result is None:
                result = await asyncio.wait_for(self._train(run, command), limit)
        except TimeoutError:
            result = _failed(run, "timeout", f"ended after RETRAIN_TIMEOUT={limit:g} seconds")
        except TransportError as error:
            result = _failed(run, error.code, str(error))
        except Exception as error:  # the edge of a background run: it must end with a result
            logger.exception("training run %s", run.run_id)
            result = _failed(run, "internal", f"{type(error).__name__}: {error}")
        await self._finish(run, command, result)
        logger.info(
            "training %s: %s in %.1f s", run.run_id, result.status, time.monotonic() - started
        )

    async def _skipped(
        self, run: TrainingRun, learned: DataSnapshot | None
    ) -> TrainingResult | None:
        """Return the end of a run that is not worth its time; None if it is, or nobody can tell.

        Looked at here, not in the child: the last run's offsets are in the rollout table, so it
        costs one question to Kafka and no process.
        """
        least = self._settings.retrain_min_new_interactions
        if learned is None or least == 0:
            return None
        ends = await asyncio.to_thread(ends_of, self._settings, self._topics.interactions)
        new = new_records(learned, ends)
        if new >= least:
            return None
        reason = (
            f"skipped: {new} new records since the last run, "
            f"RETRAIN_MIN_NEW_INTERACTIONS={least} are needed"
        )
        return TrainingResult(
            run.run_id, "refused", code="too_few_new", reason=reason, snapshot=learned
        )

    async def _train(self, run: TrainingRun, command: Command) -> TrainingResult:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "training", *self._arguments(command),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES, env={**os.environ, **self._environment},
        )  # fmt: skip
        try:
            result = await self._follow(run, child)
            code = await child.wait()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        return result or _failed(run, "died", _death(code))

    def _arguments(self, command: Command) -> list[str]:
        options: dict[str, object] = {
            "--run-id": command.command_id,
            "--requested-by": command.issued_by,
            "--factors": command.factors,
            "--iterations": command.iterations,
            "--regularization": command.regularization,
            "--alpha": command.alpha,
        }
        if self._view.state is not None:
            options["--incumbent"] = self._view.state.primary_version
        given = [[name, str(value)] for name, value in options.items() if value is not UNSET]
        return ["--end-with-parent", *(word for pair in given for word in pair)]

    async def _follow(
        self, run: TrainingRun, child: asyncio.subprocess.Process
    ) -> TrainingResult | None:
        assert child.stdout is not None
        shown_at, stage = 0.0, ""
        async for line in child.stdout:
            if line.isspace():
                continue
            try:
                told = _lines.decode(line)
            except msgspec.DecodeError:
                logger.warning("training said: %s", line.decode(errors="replace").rstrip())
                continue
            if isinstance(told, TrainingResult):
                return told
            if told.stage != stage or time.monotonic() - shown_at >= PROGRESS_SECONDS:
                shown_at, stage = time.monotonic(), told.stage
                self._show(_progressed(run, told))
        return None

    async def _finish(
        self, run: TrainingRun, command: Command | None, result: TrainingResult
    ) -> None:
        self._metrics.training_runs.labels(COUNTED_BY_CODE.get(result.code, result.status)).inc()
        for stage, seconds in result.stage_seconds.items():
            self._metrics.training_seconds.labels(stage).set(seconds)
        announced, result = await self._announced(run, command, result)
        if result.version is None and result.code != SKIPPED:
            await self._report(run, result)
        last = self._shown if self._shown and self._shown.run_id == run.run_id else run
        stage = "announce" if announced else last.stage
        updated_at = max(_now(), last.updated_at)  # another worker's clock may be ahead
        self._show(
            replace(last, updated_at=updated_at, stage=stage, result=result, announced=announced)
        )

    async def _announced(
        self, run: TrainingRun, command: Command | None, result: TrainingResult
    ) -> tuple[str | None, TrainingResult]:
        """Offer the version to the fleet; return the type of the command, and why if there is none.

        Parameters
        ----------
        command
            What asked for the run; None if that is not known.
        """
        if result.version is None or command is None:
            return None, result
        if ramp_under_way(self._view.state) is not None:
            why = f"a ramp is under way; `recstream swap {result.version}` once it has ended"
            return None, replace(result, code="not_announced", reason=why)
        deploy = self._settings.retrain_deploy if command.deploy is UNSET else command.deploy
        offer = announce(result.version, deploy, self._view.state, run, self._settings)
        if offer is None:
            return None, result
        try:
            await self._send(self._topics.control.name, offer.environment, encode(offer))
        except TransportError as error:
            return None, replace(result, code="not_announced", reason=str(error))
        return offer.type, result

    async def _report(self, run: TrainingRun, result: TrainingResult) -> None:
        """Tell the trail; the rollout table, which everybody sees, tells it in any case."""
        told = end_of(run, result, self._view.state, self._settings.environment, _now())
        try:
            await self._send(self._topics.control_results.name, told.environment, encode(told))
        except TransportError as error:
            logger.warning("the end of training run %s is not in the trail: %s", run.run_id, error)

    async def _send(self, topic: str, environment: str, value: bytes) -> None:
        await self._delivery.send([Outgoing(topic, environment.encode(), value)])

    def _show(self, run: TrainingRun) -> None:
        self._shown = run
        self._table.write_training(run)


def announce(
    version: str,
    deploy: Deploy,
    state: RolloutState | None,
    run: TrainingRun,
    settings: Settings,
) -> Command | None:
    """Return the command that offers `version` to the fleet; None if it only goes to the registry.

    The first version of an environment is always swapped in: there is nothing beside which it
    could be a canary.
    """
    if deploy == "none":
        return None
    command = Command(
        command_id=f"announce-{digest(run.run_id.encode())[:32]}",
        type="swap",
        issued_by=f"retrain@{run.worker}",
        environment=settings.environment,
        reason=f"training run {run.run_id}, asked for by {run.requested_by}",
    )
    if deploy == "swap" or state is None:
        return replace(command, model_version=version)
    command = replace(command, type="rollout", strategy=deploy, canary_version=version)
    if deploy == "shadow":
        return command
    percentage = settings.retrain_canary_percentage
    return replace(
        command,
        canary_percentage=percentage,
        bucketing=UNSET if percentage == round(percentage) else "hash",
    )


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
        issued_by=f"retrain@{run.worker}",
        at=at,
        error=AnswerError(result.code or result.status, result.reason or result.status),
        reason=f"training run {run.run_id}, asked for by {run.requested_by}",
    )


def _progressed(run: TrainingRun, told: TrainingProgress) -> TrainingRun:
    return replace(
        run,
        updated_at=_now(),
        stage=told.stage,
        done=told.done,
        total=told.total,
        message=told.message,
    )


def _failed(run: TrainingRun, code: str, reason: str) -> TrainingResult:
    return TrainingResult(run.run_id, "failed", code=code, reason=reason)


def _death(code: int) -> str:
    """Say how the training process ended: a negative exit code is a signal's."""
    if code >= 0:
        return f"the training process ended with exit code {code}"
    said = f"the training process was ended by {signal.Signals(-code).name}"
    if code == -signal.SIGKILL:
        said += ", which is also what a system without memory does; see its log"
    return said


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
