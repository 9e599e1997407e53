"""The seed agent: when it is settled that no first state is about to come."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from harness.builders import NeverDecided, some_parts

from registry.errors import ArtifactError
from registry.rollout.command_log import ControlLog
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
    assert len(parts.delivery.commands) == 1
    assert not parts.seeds.is_settled
    parts.node.view.offer_log(ControlLog(7, decided))
    assert parts.seeds.is_settled


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
