"""The node: when a worker that has read the table begins to answer."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from harness.builders import some_parts

from streams.state.worker_node import Node
from tests.unit.registry.builders import a_state


def a_starting_node(folder: Path, state: Any = None) -> Node:
    node: Node = some_parts(folder, state).node
    node.recovered_once = False
    node.note_recovery()
    assert not node.recovered_once
    node.started_at = node.started_at - timedelta(seconds=node.settings.lease_seconds + 1)
    return node


def test_a_known_state_is_answered_from_when_the_lease_is_overdue(tmp_path: Path) -> None:
    node = a_starting_node(tmp_path, a_state())
    node.note_recovery()
    assert node.recovered_once


def test_a_starved_worker_waits_for_the_first_state_however_long_it_takes(tmp_path: Path) -> None:
    node = a_starting_node(tmp_path)
    node.note_recovery()
    assert node.answering() is None  # requests wait: they are not refused as `no_version`
    node.view.renew_lease(time.time(), -1, time.time())  # the owner: there is none
    node.note_recovery()
    answering = node.answering()
    assert answering is not None
    assert answering.rules is None
