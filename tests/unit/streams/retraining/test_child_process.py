"""The training child ends with whoever waits for it."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import Process
from typing import Any

import pytest

from registry.wire.commands import Retrain
from registry.wire.training_records.training_messages import TrainingRun
from streams.retraining.child_process import run_child, time_now


def test_a_child_whose_priority_cannot_be_lowered_does_not_train_on_unwatched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    children: list[Process] = []
    start: Any = asyncio.create_subprocess_exec

    async def note_start(*words: str, **options: Any) -> Process:
        children.append(await start(*words, **options))
        return children[-1]

    def fail(*_: int) -> int:
        raise OSError("Function not implemented")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", note_start)
    monkeypatch.setattr(os, "getpriority", fail)
    run = TrainingRun("run-1", "w1", "anna", time_now(), time_now())
    command = Retrain(command_id="c1", issued_by="test")
    with pytest.raises(OSError, match="not implemented"):
        asyncio.run(run_child(run, command, None, {}, lambda _: None, 19, 60.0))
    assert [child.returncode is not None for child in children] == [True]
