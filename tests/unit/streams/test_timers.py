"""The worker's timers: what waits or fails holds up nothing else, and is tried again."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness.builders import NeverDecided, OutOfReach, some_parts

from registry.errors import ConfigurationError, DamagedVersion
from registry.versions.store import Store
from streams.logs.start_stages import Stages
from streams.observers import build_observers
from streams.page_serving import build_pages, serve_pages
from streams.timers import Timers
from tests.unit.registry.builders import (
    BEGAN,
    a_canary_state,
    a_description,
    a_state,
    some_arrays,
)


class Owner:
    """The worker that owns the control partition; its parts do nothing unless a test says so."""

    def __init__(self, folder: Path, state: Any = None, kafka: Any = NeverDecided) -> None:
        self.parts = some_parts(folder, state, kafka)
        self.renewed_at: list[float] = []
        self.parts.table.serve_predecessors = self.renewed_at.append
        self.parts.table.mend = lambda now: None
        self.parts.node.view.knows_fleet = lambda now: True
        self.parts.training = SimpleNamespace(start_if_due=lambda now: None)
        self.parts.ramp = SimpleNamespace(move=self._rest, show=lambda now: None)
        self.parts.fleet = SimpleNamespace(beat=self._rest)

    async def _rest(self, *_: Any, **__: Any) -> None:
        """Do nothing."""

    def run_until(self, done: Callable[[], bool]) -> None:
        observers: Any = SimpleNamespace(
            kafka=SimpleNamespace(reason=lambda: None),
            readiness=SimpleNamespace(reasons=tuple),
            notices=SimpleNamespace(notices=tuple),
            progress=SimpleNamespace(lags=dict, partitions=lambda: 0),
        )

        async def run() -> None:
            timers = Timers(self.parts, observers, Stages(0.0))
            tasks = [asyncio.create_task(timer) for timer in timers.tasks()]
            async with asyncio.timeout(60):
                while not done():
                    await asyncio.sleep(0)
            for task in tasks:
                task.cancel()

        asyncio.run(run())


async def _rest(*_: Any) -> None:
    """Do nothing."""


@pytest.fixture(autouse=True)
def _prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.timers.follow_topics", _rest)  # would wait for Kafka, in a thread
    monkeypatch.setattr("streams.timers.TICK_SECONDS", 0)
    monkeypatch.setattr("streams.timers.LEASE_RENEWALS", 1e9)


def test_a_ramp_that_waits_for_kafka_does_not_hold_up_the_lease(tmp_path: Path) -> None:
    owner = Owner(tmp_path, a_state())

    async def wait(now: float) -> None:
        await asyncio.Event().wait()

    owner.parts.ramp.move = wait
    owner.run_until(lambda: len(owner.renewed_at) > 2)


def test_the_lease_is_renewed_also_after_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = itertools.count(1_700_000_000.0, -86_400.0)
    clocks = SimpleNamespace(time=lambda: next(days), monotonic=time.monotonic)
    monkeypatch.setattr("streams.timers.time", clocks)
    owner = Owner(tmp_path, a_state())
    owner.run_until(lambda: len(owner.renewed_at) > 2)
    assert owner.renewed_at == sorted(owner.renewed_at, reverse=True)


def test_a_bug_in_one_timer_stops_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    owner, moved = Owner(tmp_path, a_state()), []

    def fail(now: Any) -> None:
        raise KeyError("a bug")

    async def move(now: float) -> None:
        moved.append(now)

    owner.parts.training.start_if_due = fail
    owner.parts.ramp.move = move
    with caplog.at_level(logging.CRITICAL):
        owner.run_until(lambda: len(owner.renewed_at) > 2 and len(moved) > 2)


def test_only_the_owner_of_the_control_partition_renews_moves_and_seeds(tmp_path: Path) -> None:
    owner, looks = Owner(tmp_path), []
    owner.parts.table.is_owner = False
    owner.parts.ramp.show = looks.append
    owner.parts.ramp.move = owner.parts.training.start_if_due = None  # not to be called
    owner.run_until(lambda: len(looks) > 2)
    assert (owner.renewed_at, owner.parts.delivery.commands) == ([], [])


def test_before_the_fleet_is_known_no_ramp_moves_and_no_training_is_taken_over(
    tmp_path: Path,
) -> None:
    owner, looks, runs = Owner(tmp_path, a_state()), [], []
    owner.parts.node.view.knows_fleet = lambda now: False
    owner.parts.ramp.show = looks.append
    owner.parts.training.start_if_due = runs.append
    moved = moves_of(owner)
    owner.run_until(lambda: len(looks) > 2)
    assert (owner.renewed_at, moved, runs) == ([], [], [])


def test_before_all_evidence_is_heard_no_ramp_moves(tmp_path: Path) -> None:
    owner, looks = Owner(tmp_path, a_canary_state(updated_at=BEGAN)), []
    owner.parts.ramp.show = looks.append
    moved = moves_of(owner)
    owner.run_until(lambda: len(looks) > 2)
    assert moved == []
    owner.parts.node.view.heard_since = 0
    owner.run_until(lambda: bool(moved))


def test_while_the_control_topic_is_foreign_no_ramp_moves(tmp_path: Path) -> None:
    owner, looks = Owner(tmp_path, a_canary_state(updated_at=BEGAN)), []
    owner.parts.ramp.show = looks.append
    owner.parts.node.view.heard_since = 0
    owner.parts.watch = SimpleNamespace(is_foreign=lambda log: True)
    moved = moves_of(owner)
    owner.run_until(lambda: len(looks) > 2)
    assert moved == []


def moves_of(owner: Owner) -> list[float]:
    """When the owner moves its ramp, from now on."""
    moved: list[float] = []

    async def move(now: float) -> None:
        moved.append(now)

    owner.parts.ramp.move = move
    return moved


def test_a_seed_waits_for_a_registry_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    owner = Owner(tmp_path)
    Store(owner.parts.settings.model_registry).publish(some_arrays(), a_description())
    answers = iter([DamagedVersion("latest.txt: damaged"), "v0.1"])

    def latest() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(owner.parts.node.store, "latest", latest)
    with caplog.at_level(logging.CRITICAL):
        owner.run_until(lambda: bool(owner.parts.delivery.commands))
    (seed,) = owner.parts.delivery.commands
    assert (seed.type, seed.model_version, seed.expected_epoch) == ("swap", "v0.1", -1)


def test_a_seed_that_kafka_did_not_take_is_sent_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    owner = Owner(tmp_path, kafka=OutOfReach)
    Store(owner.parts.settings.model_registry).publish(some_arrays(), a_description())
    with caplog.at_level(logging.WARNING, "streams.timers"):
        owner.run_until(lambda: len(caplog.messages) > 1)
    assert set(caplog.messages) == {"seeding failed: Kafka did not accept a record: timed out"}


def test_a_port_that_is_taken_is_told_with_the_variables_that_name_it(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        parts = some_parts(tmp_path, http_port=port)
        with pytest.raises(ConfigurationError, match=f"RECSTREAM_HTTP_PORT={port}: .* in use"):
            asyncio.run(serve_pages(parts, build_pages(parts, build_observers(parts))))
