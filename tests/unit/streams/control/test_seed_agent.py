"""The seed agent: when it is settled that no first state is about to come."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from harness.builders import NeverDecided, some_parts

from registry.errors import ArtifactError
from registry.kafka.broker_topics import SeenTopic
from registry.rollout.command_log import ControlLog, Remembered
from registry.wire.command_results import CommandResult
from registry.wire.commands import Command, Retrain
from registry.wire.instants import Instant
from tests.unit.registry.builders import a_state


def test_an_environment_with_a_state_is_settled(tmp_path: Path) -> None:
    assert some_parts(tmp_path, a_state()).seeds.is_settled


def test_without_a_state_it_is_settled_once_there_was_nothing_to_seed(tmp_path: Path) -> None:
    seeds = some_parts(tmp_path).seeds
    assert not seeds.is_settled
    asyncio.run(seeds.seed())
    assert seeds.is_settled


@pytest.mark.parametrize("decided", [a_state(), None], ids=["applied", "refused"])
def test_a_seed_is_settled_once_it_was_decided(tmp_path: Path, decided: Any) -> None:
    parts = some_parts(tmp_path, kafka=NeverDecided, model_version="v0.1")
    parts.node.view.offer_log(ControlLog(4, None))  # what an earlier command left
    asyncio.run(parts.seeds.seed())
    (seed,) = parts.delivery.commands
    assert not parts.seeds.is_settled
    parts.node.view.offer_log(ControlLog(7, decided, (refused(seed, 7),)))
    assert parts.seeds.is_settled


def test_another_command_that_is_decided_before_the_seed_settles_nothing(tmp_path: Path) -> None:
    parts = some_parts(tmp_path, kafka=NeverDecided, model_version="v0.1")
    asyncio.run(parts.seeds.seed())
    (seed,) = parts.delivery.commands
    other = Retrain(command_id="nightly", issued_by="anna")
    parts.node.view.offer_log(ControlLog(0, None, (refused(other, 0),)))
    assert not parts.seeds.is_settled
    parts.node.view.offer_log(ControlLog(1, None, (refused(other, 0), refused(seed, 1))))
    assert parts.seeds.is_settled


def test_on_a_foreign_control_topic_it_is_settled_and_the_next_era_is_seeded(
    tmp_path: Path,
) -> None:
    parts = some_parts(tmp_path, kafka=NeverDecided, model_version="v0.1")
    control = parts.topics.control.name
    parts.node.view.offer_log(ControlLog(4, None, topic_id="before"))
    asyncio.run(parts.seeds.seed())
    assert not parts.seeds.is_settled
    parts.watch._changes.look({control: SeenTopic("now", 1)})
    assert parts.seeds.is_settled
    asyncio.run(parts.seeds.seed())
    assert len(parts.delivery.commands) == 1
    parts.node.view.offer_log(ControlLog(2**50, None, topic_id="now"))
    assert not parts.seeds.is_settled
    asyncio.run(parts.seeds.seed())
    assert len(parts.delivery.commands) == 2


def refused(command: Command, offset: int) -> Remembered:
    """Return what the log remembers of a command."""
    result = CommandResult(
        command_id=command.command_id,
        type=command.type,
        environment=command.environment,
        status="rejected",
        epoch=None,
        issued_by=command.issued_by,
        at=Instant.read("2026-01-01T00:00:00.000+00:00"),
    )
    return Remembered(offset, result)


def test_a_registry_that_does_not_answer_settles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise ArtifactError("latest.txt names no version")

    parts = some_parts(tmp_path)
    monkeypatch.setattr(parts.node.store, "latest", refuse)
    with pytest.raises(ArtifactError):
        asyncio.run(parts.seeds.seed())
    assert not parts.seeds.is_settled
