"""The retrain agent: starts training runs when they are due, and announces their versions.

Runs on the worker that owns the control partition; the child process
(`streams.retraining.child_process`) takes a fleet-wide lock, so a change of owner cannot start a
second run beside the first. On success the agent produces a command like any other producer; the
control agent decides it. A run that ends without a version is recorded on control-results, beside
the result of its command, which only said that the run had started. Must not know how to train.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import UNSET
from msgspec.structs import replace

from registry.epochs import era_of, offset_of
from registry.error_codes import CommandCode, TrainingCode
from registry.errors import RecordError, RefusedCommand, RefusedRecord, TransportError
from registry.kafka.topic_reader import command_at
from registry.kafka.topics import Topics
from registry.rollout.deploy_or_wait import why_to_wait
from registry.rollout.policy_file import RampPolicy
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.commands import Retrain
from registry.wire.origins import TIMER
from registry.wire.training_records.gate_results import DataSnapshot
from registry.wire.training_records.training_messages import TrainingResult, TrainingRun
from streams.delivery.outgoing import Outgoing
from streams.delivery.producer import Delivery, send_until_confirmed
from streams.metrics import Metrics
from streams.retraining.announcement import announce, end_of
from streams.retraining.child_process import run_child, time_now
from streams.retraining.run_metrics import count_end
from streams.retraining.run_schedule import next_run_at
from streams.retraining.skipped_run import skip_if_too_few
from streams.retraining.takeover import Leftover, find_leftover
from streams.state.rollout_table import RolloutTable
from streams.state.rollout_view import RolloutView

logger = logging.getLogger(__name__)


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
        ramp: RampPolicy | None = None,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._worker = worker
        self._view = view
        self._table = table
        self._delivery = delivery
        self._metrics = metrics
        self._environment = environment
        self._ramp = ramp
        self._since = datetime.now(UTC)
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._shown: TrainingRun | None = None
        self._known: set[str] = set()

    def refusal(self, command: Retrain | None = None) -> RefusedCommand | None:
        """Return why no run can start now, or not that of `command`; None if one can."""
        if self._task is not None and not self._task.done():
            return RefusedCommand(
                "retrain: a training run is in progress; wait for it", CommandCode.TRAINING_RUNNING
            )
        if command is not None and command.deploy == "ramp" and self._ramp is None:
            return RefusedCommand(
                "retrain: deploy ramp needs RETRAIN_RAMP_FILE, which is not set on this fleet",
                CommandCode.BAD_RAMP,
            )
        return None

    def start(self, command: Retrain) -> None:
        """Start the run that `command` asks for; it is in the rollout table when this returns.

        A worker that stops leaves it to the next owner, which finds that no run came of it.
        """
        if self._is_stopping:
            return
        self._task = asyncio.create_task(self._run_to_end(self._begin_run(command), command))

    def start_if_due(self, now: datetime) -> None:
        """Start what a former owner left behind, or the timer's run if nobody has run since."""
        if self._is_stopping or self.refusal() is not None:
            return
        last, fleet = self._view.training, self._view.fleet
        left = find_leftover(self._view.log, last, fleet, now, self._known)
        if left is not None:
            self._task = asyncio.create_task(self._take_over(left))
            return
        after = self._since if last is None else last.started_at
        due_at = next_run_at(self._settings, after)
        if due_at is not None and due_at <= now and (last is None or last.result is not None):
            learned = last.result.snapshot if last and last.result else None
            command = self._timer_command(str(uuid.uuid4()))
            self._task = asyncio.create_task(
                self._run_to_end(self._begin_run(command), command, learned)
            )

    async def stop(self) -> None:
        """End a run in progress, with its child, and begin none."""
        self._is_stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _timer_command(self, run_id: str) -> Retrain:
        return Retrain(run_id, TIMER + self._worker, origin="timer")

    def _begin_run(self, command: Retrain, repeats: str | None = None) -> TrainingRun:
        last = self._view.training
        at = time_now() if last is None else time_now(after=last.started_at)
        run = TrainingRun(
            command.command_id,
            self._worker,
            command.issued_by,
            at,
            at,
            origin=command.origin,
            repeats=repeats,
            reason=command.reason,
        )
        self._known.add(run.run_id)
        self._show(run)
        return run

    async def _take_over(self, left: Leftover) -> None:
        """End the run that a former owner left behind, and start it anew if that may help."""
        try:
            command = await self._command_of(left)
        except TransportError as error:  # the next look tries again
            logger.warning("an interrupted training run: %s", error)
            return
        if left.run is not None:
            self._known.add(left.run.run_id)
            then = f"it restarts as {left.next_id}" if command else "it is not restarted"
            reason = f"its worker {left.run.worker} ended, and the run with it; {then}"
            self._shown = left.run
            lost = TrainingResult(
                left.run.run_id, "failed", code=TrainingCode.WORKER_LOST, reason=reason
            )
            await self._finish(left.run, None, lost)
        if command is not None:
            await self._run_to_end(self._begin_run(command, left.repeats), command)
        elif left.next_id is not None:
            self._known.add(left.next_id)

    async def _command_of(self, left: Leftover) -> Retrain | None:
        if left.next_id is None:
            return None
        if left.offset is None:
            return self._timer_command(left.next_id)
        if era_of(left.offset) != era_of(self._view.log.last_offset):
            return None  # it was on a control topic that is not there any more
        try:
            found = await asyncio.to_thread(
                command_at, self._settings, self._topics.control, offset_of(left.offset)
            )
        except RecordError as error:
            logger.error("offset %d of the control topic: %s", left.offset, error)
            return None
        return replace(found, command_id=left.next_id) if isinstance(found, Retrain) else None

    async def _run_to_end(
        self, run: TrainingRun, command: Retrain, learned: DataSnapshot | None = None
    ) -> None:
        started = time.monotonic()
        try:
            result = await skip_if_too_few(self._settings, self._topics.interactions, run, learned)
            if result is None:
                result = await self._train(run, command)
        except TransportError as error:
            result = TrainingResult(run.run_id, "failed", code=error.code, reason=str(error))
        except Exception as error:  # the edge of a background run: it must end with a result
            logger.exception("training run %s", run.run_id)
            why = f"{type(error).__name__}: {error}"
            result = TrainingResult(run.run_id, "failed", code=TrainingCode.INTERNAL, reason=why)
        try:
            await self._finish(run, command, result)
        except Exception:  # without an end it would be in progress for ever, and block all others
            logger.exception("the end of training run %s", run.run_id)
            self._show(replace(run, updated_at=time_now(after=run.updated_at), result=result))
        logger.info(
            "training %s: %s in %.1f s", run.run_id, result.status, time.monotonic() - started
        )

    async def _train(self, run: TrainingRun, command: Retrain) -> TrainingResult:
        state = self._view.state
        incumbent = state.primary_version if state is not None else None
        niceness, limit = self._settings.retrain_niceness, self._settings.retrain_timeout
        return await run_child(
            run, command, incumbent, self._environment, self._show, niceness, limit
        )

    async def _finish(
        self, run: TrainingRun, command: Retrain | None, result: TrainingResult
    ) -> None:
        count_end(self._metrics, result)
        announced, result = await self._announce_version(run, command, result)
        if result.version is None and result.code != TrainingCode.TOO_FEW_NEW:
            await self._report(run, result)
        last = self._shown if self._shown and self._shown.run_id == run.run_id else run
        stage = "announce" if announced else last.stage
        updated_at = time_now(after=last.updated_at)
        self._show(
            replace(last, updated_at=updated_at, stage=stage, result=result, announced=announced)
        )

    async def _announce_version(
        self, run: TrainingRun, command: Retrain | None, result: TrainingResult
    ) -> tuple[str | None, TrainingResult]:
        """Offer the version to the fleet; return the type of the command, and why if there is none.

        Parameters
        ----------
        command
            What asked for the run; None if that is not known.
        """
        if result.version is None or command is None:
            return None, result
        state, version = self._view.state, result.version
        deploy = self._settings.retrain_deploy if command.deploy is UNSET else command.deploy
        if deploy == "none":
            return None, result
        why = why_to_wait(version, deploy, state)
        if why is not None:
            result = replace(result, code=TrainingCode.NOT_ANNOUNCED, reason=why)
            await self._report(run, result)
            return None, result
        offer = announce(version, deploy, state, run, self._settings, self._ramp)
        try:
            await self._send(self._topics.control.name, offer.environment, encode(offer))
        except (TransportError, RefusedRecord) as error:
            return None, replace(result, code=TrainingCode.NOT_ANNOUNCED, reason=str(error))
        return offer.type, result

    async def _report(self, run: TrainingRun, result: TrainingResult) -> None:
        """Tell the trail; the rollout table, which everybody sees, tells it in any case."""
        end = end_of(run, result, self._view.state, self._settings.environment, time_now())
        try:
            await self._send(self._topics.control_results.name, end.environment, encode(end))
        except (TransportError, RefusedRecord) as error:
            logger.warning(
                "could not record the end of training run %s in the audit trail: %s",
                run.run_id,
                error,
            )

    async def _send(self, topic: str, environment: str, value: bytes) -> None:
        record = Outgoing(topic, environment.encode(), value)
        await send_until_confirmed(self._delivery, [record])

    def _show(self, run: TrainingRun) -> None:
        self._shown = run
        self._table.write_training(run)
