"""Who joins the group, and who stays outside: each case."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness.builders import some_parts
from harness.cells import each_cell

from registry.guardrails.live_workers import LIVE_SECONDS
from registry.wire.heartbeats import Heartbeat
from registry.wire.rollout_state import RolloutState
from streams.observers import build_observers
from streams.state.group_entry import why_outside
from tests.unit.registry.builders import a_state

NOW = 1_000.0


def a_peer(**more: Any) -> Heartbeat:
    given = {"worker": "w2", "instance": "w2@0", "environment": "production", "at": NOW, "epoch": 0}
    return Heartbeat(**given | {"ready": ("v0.1",)} | more)  # type: ignore[arg-type]


NOBODY: tuple[Heartbeat, ...] = ()
FAILED = {"v0.1": "version v0.1 is not in this registry"}


@each_cell(
    ("state", "ready", "failures", "others", "joins"),
    [
        pytest.param(None, (), {}, [a_peer()], True, id="no state yet"),
        pytest.param(a_state(), ("v0.1",), {}, [a_peer()], True, id="the version is in memory"),
        pytest.param(a_state(), (), {}, NOBODY, True, id="being loaded, and nobody else is there"),
        pytest.param(a_state(), (), FAILED, NOBODY, True, id="failed, and nobody else is there"),
        pytest.param(a_state(), (), {}, [a_peer()], False, id="being loaded beside a healthy peer"),
        pytest.param(a_state(), (), FAILED, [a_peer()], False, id="failed beside a healthy peer"),
        pytest.param(
            a_state(), ("v0.0",), FAILED, [a_peer()], False, id="another version is in memory"
        ),
        pytest.param(a_state(), (), FAILED, [a_peer(ready=())], True, id="the peer has nothing"),
        pytest.param(
            a_state(), (), FAILED, [a_peer(epoch=None)], True, id="the peer acts on no state"
        ),
        pytest.param(
            a_state(), (), FAILED, [a_peer(stopping=True)], True, id="the peer is stopping"
        ),
        pytest.param(
            a_state(), (), FAILED, [a_peer(at=NOW - LIVE_SECONDS - 1)], True, id="it is silent"
        ),
        pytest.param(
            a_state(),
            (),
            FAILED,
            [a_peer(ready=("v0.0",))],
            False,
            id="the peer answers with an older version",
        ),
    ],
)
def test_a_worker_joins_once_it_can_answer_or_nobody_else_can(
    state: RolloutState | None,
    ready: tuple[str, ...],
    failures: dict[str, str],
    others: list[Heartbeat],
    joins: bool,
) -> None:
    assert (why_outside(state, ready, failures, others, NOW) is None) == joins


def test_who_stays_outside_says_why_and_who_answers_instead() -> None:
    why = why_outside(a_state(), (), FAILED, [a_peer()], NOW)
    assert why is not None
    assert "not in this registry" in why
    assert "w2 can answer" in why


def test_a_worker_outside_is_not_ready_and_says_why(tmp_path: Path) -> None:
    parts = some_parts(tmp_path, a_state())
    parts.entry = SimpleNamespace(outside="primary version v0.1: gone; w2 can answer")
    (reason,) = build_observers(parts).readiness.reasons()
    assert (reason.code, "w2 can answer" in reason.message) == ("not_in_group", True)
