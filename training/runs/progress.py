"""Progress: the current stage of a run, how far it is, and how long each stage took.

Knows the lines that a run reports; must not know what the stages do. A child process writes them
to its standard output, one JSON object a line; logging goes to standard error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, TypeAlias

from registry.wire.codec import encode
from registry.wire.training_records.training_messages import (
    TrainingLine,
    TrainingProgress,
    TrainingStage,
)

Report: TypeAlias = Callable[[TrainingProgress], None]


def line_writer(stream: BinaryIO) -> Callable[[TrainingLine], None]:
    """Return a function that writes each line to `stream` at once."""

    def write(line: TrainingLine) -> None:
        stream.write(encode(line) + b"\n")
        stream.flush()

    return write


class Journal:
    """A run's progress as it goes.

    Parameters
    ----------
    run_id
        Goes into every line.
    report
        Receives the lines.
    """

    def __init__(self, run_id: str, report: Report) -> None:
        self.run_id = run_id
        self._report = report
        self._stage: TrainingStage = "lock"
        self._check: Callable[[], None] = lambda: None
        self.stage_seconds: dict[str, float] = {}

    def check_each_step(self, check: Callable[[], None]) -> None:
        """Call `check` before every step from now on; what it raises ends the run."""
        self._check = check

    @contextmanager
    def stage(self, stage: TrainingStage) -> Iterator[None]:
        """Report the start of `stage` and measure it, whether it ends well or not.

        The seconds of a stage that comes again are added.
        """
        self._stage = stage
        self.advance(0, 0)
        began = time.monotonic()
        try:
            yield
        finally:
            seconds = self.stage_seconds.get(stage, 0.0) + time.monotonic() - began
            self.stage_seconds[stage] = round(seconds, 3)

    def advance(self, done: int, total: int, message: str | None = None) -> None:
        """Report that `done` of `total` units of the current stage are done."""
        self._check()
        self._report(TrainingProgress(self.run_id, self._stage, done, total, message))
