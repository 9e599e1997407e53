"""The priority of a training child."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.retraining.child_priority import lower_priority

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities on Linux")
"""CI is Linux, and skips none of these: elsewhere there is no idle class, and no ``/proc``."""

TWO_THREADS = """
import sys, threading
threading.Thread(target=sys.stdin.read, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """A process with two threads, which ends when its input does."""
    words = [sys.executable, "-SIc", TWO_THREADS]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        yield started
        started.kill()


def priorities(pid: int) -> set[tuple[int, int]]:
    """Return niceness and scheduling class of each thread."""
    threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    assert len(threads) == 2
    return {
        (os.getpriority(os.PRIO_PROCESS, thread), os.sched_getscheduler(thread))
        for thread in threads
    }


@on_linux
def test_by_default_all_threads_of_a_training_are_in_the_idle_class(
    child: subprocess.Popen[str],
) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    lower_priority(child.pid, 19)
    assert priorities(child.pid) == {(min(own + 19, 19), os.SCHED_IDLE)}


@on_linux
def test_a_lower_niceness_is_added_to_the_workers_and_leaves_the_class(
    child: subprocess.Popen[str],
) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    lower_priority(child.pid, 3)
    assert priorities(child.pid) == {(min(own + 3, 19), os.sched_getscheduler(0))}


def test_a_child_that_has_ended_is_left_alone(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()
    lower_priority(child.pid, 19)


def test_where_a_sandbox_forbids_niceness_the_training_goes_on_and_the_log_says_so(
    child: subprocess.Popen[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(os, "setpriority", _forbid)
    monkeypatch.setattr(os, "sched_setscheduler", _forbid)
    lower_priority(child.pid, 19)
    assert "competes with serving" in caplog.text


def _forbid(*_: object) -> None:
    raise PermissionError("Operation not permitted")
