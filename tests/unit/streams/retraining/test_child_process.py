"""The training child ends with whoever waits for it."""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import Process
from typing import Any

import pytest

from registry.wire.commands import Retrain
from registry.wire.training_records.training_messages import TrainingRun
from streams.retraining.child_process import run_child, time_now

RUN = TrainingRun("run-1", "w1", "anna", time_now(), time_now())
COMMAND = Retrain(command_id="c1", issued_by="test")


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[Process]:
    """The children that are started, in their order."""
    started: list[Process] = []
    start: Any = asyncio.create_subprocess_exec

    async def note_start(*words: str, **options: Any) -> Process:
        started.append(await start(*words, **options))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", note_start)
    return started


def test_a_child_whose_priority_cannot_be_lowered_does_not_train_on_unwatched(
    monkeypatch: pytest.MonkeyPatch, children: list[Process]
) -> None:
    def fail(*_: int) -> int:
        raise OSError("Function not implemented")

    monkeypatch.setattr(os, "getpriority", fail)
    with pytest.raises(OSError, match="not implemented"):
        asyncio.run(run_child(RUN, COMMAND, None, {}, lambda _: None, 19, 60.0))
    assert [child.returncode is not None for child in children] == [True]


def test_a_child_that_takes_too_long_is_killed_and_its_result_names_the_limit(
    children: list[Process],
) -> None:
    result = asyncio.run(run_child(RUN, COMMAND, None, {}, lambda _: None, 19, 0.001))
    assert (result.code, result.reason) == ("timeout", "ended after RETRAIN_TIMEOUT=0.001 seconds")
    assert [child.returncode for child in children] == [-signal.SIGKILL]
