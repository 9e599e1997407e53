"""Shows the stages of a training run, in this process or through a worker's HTTP pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from ops.clients import worker_pages as pages
from registry.errors import TransportError
from registry.wire.training_records.training_messages import (
    TrainingProgress,
    TrainingResult,
    TrainingRun,
)

POLL_SECONDS = 0.15

START_SECONDS = 30.0
"""A run starts within a rebalance after its command, or not at all."""


class StageDisplay:
    """Shows the stages as bars on a terminal, as lines elsewhere; a context manager."""

    def __init__(self, console: Console, *, hidden: bool = False) -> None:
        self._console = console
        self._lines = not hidden and not console.is_terminal
        self._progress = Progress(
            TextColumn("    {task.description:<10}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[message]}", style="dim", markup=False),
            console=console,
            disable=hidden or not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> StageDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, stage: str, done: int, total: int, message: str | None) -> None:
        """Show that `done` of `total` units of `stage` are done; 0 of 0 if it has just started."""
        if stage not in self._tasks:
            self._complete(self._tasks.values())
            self._tasks[stage] = self._progress.add_task(stage, total=None, message="")
            if self._lines:
                self._console.print(f"    {stage} ...")
        self._progress.update(
            self._tasks[stage], completed=done, total=total or None, message=message or ""
        )

    def report(self, progress: TrainingProgress) -> None:
        """Show a progress line of a training process."""
        self.show(progress.stage, progress.done, progress.total, progress.message)

    def finish(self, result: TrainingResult) -> None:
        """Show each stage of the run with its duration.

        Short stages may have passed unseen between two looks; the result has all of them.
        """
        for stage, seconds in result.stage_seconds.items():
            if stage not in self._tasks:
                self._tasks[stage] = self._progress.add_task(stage, total=None, message="")
            self._progress.update(self._tasks[stage], message=f"{seconds:.1f} s")
            self._complete([self._tasks[stage]])
        if self._lines:
            times = ", ".join(f"{stage} {s:.1f} s" for stage, s in result.stage_seconds.items())
            self._console.print(f"    stages: {times}", soft_wrap=True)

    def _complete(self, tasks: Iterable[TaskID]) -> None:
        for task in tasks:
            self._progress.update(task, completed=1, total=1)


def follow_run(
    url: str,
    display: StageDisplay,
    *,
    run_id: str,
    deadline_seconds: float,
    check: Callable[[], None] = lambda: None,
) -> TrainingRun:
    """Show the run `run_id`, as the worker at `url` reports it, until it ends; return it.

    Parameters
    ----------
    url
        A worker's address.
    display
        Where to show it.
    run_id
        The id of the command that started it.
    deadline_seconds
        For the whole run.
    check
        Called before each look; raises if waiting has become pointless.

    Raises
    ------
    TransportError
        If no run starts within 30 s, or it does not end in time.
    """
    started = time.monotonic()
    seen = False
    while (elapsed := time.monotonic() - started) < deadline_seconds:
        check()
        run = pages.training(url)
        if run is not None and run.run_id == run_id:
            seen = True
            if run.result is not None:
                display.finish(run.result)
                return run
            display.show(run.stage, run.done, run.total, run.message)
        if not seen and elapsed > START_SECONDS:
            raise TransportError(
                f"the training run has not started within {START_SECONDS:g} s; see {url}/"
            )
        time.sleep(POLL_SECONDS)
    raise TransportError(f"the training run has not ended within {deadline_seconds:g} s")
