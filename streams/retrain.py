"""The retrain agent: starts training runs, follows them, and announces what they published.

Runs on the worker that owns the control partition; the child process (`python -m training`) takes a
fleet-wide lock, so that a change of owner cannot start a second run beside the first. On success it
produces a command as anybody else would; the control agent decides. Must not know how to train.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from registry.errors import RefusedCommand, TransportError
from registry.manifest import digest
from registry.records import (
    Command,
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
from streams.metrics import Metrics
from streams.schedule import next_run_at
from streams.table import RolloutTable
from streams.view import RolloutView

logger = logging.getLogger(__name__)

PROGRESS_SECONDS: Final = 0.2
"""Least time between two table writes of one stage; each write goes to every worker."""

LINE_BYTES: Final = 1_000_000
"""Longest line of the child; its result carries the gate's checks."""

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

    def refusal(self) -> RefusedCommand | None:
        """Return why no run can start now; None if one can."""
        if self._task is None or self._task.done():
            return None
        return RefusedCommand(
            "retrain: a training run is under way; wait for it", "training_running"
        )

    def start(self, command: Command) -> None:
        """Start the run that `command` asks for."""
        self._task = asyncio.create_task(self._guarded(command))

    def start_if_due(self, now: datetime) -> None:
        """Start the timer's run if it is due and nobody has run since."""
        last = self._view.training
        after = self._since if last is None else datetime.fromisoformat(last.started_at)
        due_at = next_run_at(self._settings, after)
        if due_at is not None and due_at <= now and self.refusal() is None:
            self.start(Command(str(uuid.uuid4()), "retrain", f"timer@{self._worker}"))

    async def stop(self) -> None:
        """End a run that is under way, with its child."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _guarded(self, command: Command) -> None:
        now = _now()
        run = TrainingRun(command.command_id, self._worker, command.issued_by, now, now)
        started = time.monotonic()
        try:
            result = await asyncio.wait_for(
                self._train(run, command), self._settings.retrain_timeout
            )
        except TimeoutError:
            limit = self._settings.retrain_timeout
            result = _failed(run, "timeout", f"ended after RETRAIN_TIMEOUT={limit:g} seconds")
        except Exception as error:  # the edge of a background run: it must end with a result
            logger.exception("training run %s", run.run_id)
            result = _failed(run, "internal", f"{type(error).__name__}: {error}")
        await self._finish(run, command, result)
        logger.info(
            "training %s: %s in %.1f s", run.run_id, result.status, time.monotonic() - started
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
        return result or _failed(run, "died", f"the training process ended with exit code {code}")

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

    async def _finish(self, run: TrainingRun, command: Command, result: TrainingResult) -> None:
        self._metrics.training_runs.labels(result.status).inc()
        for stage, seconds in result.stage_seconds.items():
            self._metrics.training_seconds.labels(stage).set(seconds)
        announcement = None
        if result.version is not None and ramp_under_way(self._view.state) is not None:
            why = f"a ramp is under way; `recstream swap {result.version}` once it has ended"
            result = replace(result, code="not_announced", reason=why)
        elif result.version is not None:
            deploy = self._settings.retrain_deploy if command.deploy is UNSET else command.deploy
            announcement = announce(result.version, deploy, self._view.state, run, self._settings)
        if announcement is not None:
            try:
                await self._delivery.send(
                    [
                        Outgoing(
                            self._topics.control.name,
                            announcement.environment.encode(),
                            encode(announcement),
                        )
                    ]
                )
            except TransportError as error:
                announcement = None
                result = replace(result, code="not_announced", reason=str(error))
        announced = announcement.type if announcement else None
        last = self._shown if self._shown and self._shown.run_id == run.run_id else run
        stage = "announce" if announced else last.stage
        self._show(
            replace(last, updated_at=_now(), stage=stage, result=result, announced=announced)
        )

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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
