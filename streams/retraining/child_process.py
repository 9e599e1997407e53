"""The training child: starts `python -m training`, follows its output, and makes sure that it ends.

An edge. Knows the lines of the child and how a process ends. Must not know when a run is due, nor
how its version is deployed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from registry.error_codes import TrainingCode
from registry.wire.commands import Retrain
from registry.wire.instants import Instant
from registry.wire.training_records.training_messages import (
    TrainingLine,
    TrainingProgress,
    TrainingResult,
    TrainingRun,
)
from streams.retraining.child_priority import lower_priority

logger = logging.getLogger(__name__)

PROGRESS_SECONDS: Final = 0.2
"""Least time between two table writes of one stage; each write goes to every worker."""

EXIT_SECONDS: Final = 10.0
"""How long a child that has told its result may take to exit. What it waits for then is of no use;
until ``RETRAIN_TIMEOUT`` it would keep the version from the fleet."""

LINE_BYTES: Final = 1_000_000
"""Longest line of the child; its result carries the gate's checks."""

_lines = msgspec.json.Decoder(TrainingLine)


async def run_child(
    run: TrainingRun,
    command: Retrain,
    incumbent: str | None,
    environment: Mapping[str, str],
    show: Callable[[TrainingRun], None],
    niceness: int,
    limit_seconds: float,
) -> TrainingResult:
    """Let a child train, and return what came of it; it ends with the task that waits.

    Parameters
    ----------
    run
        As it is shown so far.
    command
        What asks for it.
    incumbent
        The version to be compared with; None before the first.
    environment
        The child's variables, over this process's own.
    show
        Called with the run, each time that it has come further.
    niceness
        ``RETRAIN_NICENESS``.
    limit_seconds
        ``RETRAIN_TIMEOUT``.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "training", *_arguments(command, incumbent),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES, env={**os.environ, **environment},
    )  # fmt: skip
    try:
        async with asyncio.timeout(limit_seconds):
            lower_priority(child.pid, niceness)
            result = await _follow(run, child, show)
            if result is None:
                why = _death(await child.wait())
                return TrainingResult(run.run_id, "failed", code=TrainingCode.DIED, reason=why)
            with suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), EXIT_SECONDS)
            return result
    except TimeoutError:
        why = f"ended after RETRAIN_TIMEOUT={limit_seconds:g} seconds"
        return TrainingResult(run.run_id, "failed", code=TrainingCode.TIMEOUT, reason=why)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


def time_now(after: Instant | None = None) -> Instant:
    """Return the time, to the millisecond.

    Later than `after` in any case: it may be of a worker whose clock is ahead, and what is told of
    runs is put in order by their times.
    """
    now = Instant.of(time.time())
    return now if after is None or now > after else after + timedelta(milliseconds=1)


def _arguments(command: Retrain, incumbent: str | None) -> list[str]:
    options: dict[str, object] = {
        "--run-id": command.command_id,
        "--requested-by": command.issued_by,
        "--factors": command.factors,
        "--iterations": command.iterations,
        "--regularization": command.regularization,
        "--alpha": command.alpha,
    }
    if incumbent is not None:
        options["--incumbent"] = incumbent
    given = [[name, str(value)] for name, value in options.items() if value is not UNSET]
    return ["--end-with-parent", *(word for pair in given for word in pair)]


async def _follow(
    run: TrainingRun, child: asyncio.subprocess.Process, show: Callable[[TrainingRun], None]
) -> TrainingResult | None:
    assert child.stdout is not None
    shown_at, stage = 0.0, ""
    async for line in child.stdout:
        if line.isspace():
            continue
        try:
            message = _lines.decode(line)
        except msgspec.DecodeError:
            logger.warning("training output: %s", line.decode(errors="replace").rstrip())
            continue
        if isinstance(message, TrainingResult):
            return message
        if message.stage != stage or time.monotonic() - shown_at >= PROGRESS_SECONDS:
            shown_at, stage = time.monotonic(), message.stage
            show(_with_progress(run, message))
    return None


def _with_progress(run: TrainingRun, message: TrainingProgress) -> TrainingRun:
    return replace(
        run,
        updated_at=time_now(after=run.updated_at),
        stage=message.stage,
        done=message.done,
        total=message.total,
        message=message.message,
    )


def _death(code: int) -> str:
    """Say how the training process ended: a negative exit code is a signal's."""
    if code >= 0:
        return f"the training process ended with exit code {code}"
    sentence = f"the training process was killed by {signal.Signals(-code).name}"
    if code == -signal.SIGKILL:
        sentence += "; the kernel sends it when memory runs out: see its log"
    return sentence
