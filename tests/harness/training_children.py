"""Training runs as the retrain agent starts them: child processes, and the lines that they tell."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from harness.fresh import environment_of
from harness.workers import ROOT

from registry.settings import Settings
from registry.wire.training_records.training_messages import TrainingLine, TrainingProgress


@contextmanager
def child(settings: Settings, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python as the retrain agent does; killed at the end if it still runs."""
    environment = os.environ | environment_of(settings) | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    started = subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdin=pipe, stdout=pipe, stderr=None
    )
    with started:
        try:
            yield started
        finally:
            started.kill()


def lines(process: subprocess.Popen[bytes]) -> Iterator[TrainingLine]:
    assert process.stdout is not None
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(TrainingLine)
    return (decoder.decode(line) for line in process.stdout)


def until_it_fits(printed: Iterator[TrainingLine]) -> None:
    for line in printed:
        if isinstance(line, TrainingProgress) and line.stage == "fit" and line.done:
            return
    raise AssertionError("the run ended before its fit")
