"""Announcing: the command that offers a new version to the fleet, and when there is none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from harness.builders import DecidedAtOnce, NeverDecided, OutOfReach, some_parts

from registry.assignment import canary_share
from registry.control import EMPTY_LOG, ControlLog, follow
from registry.records import (
    Command,
    RolloutState,
    TrainingResult,
    TrainingRun,
    decode,
    encode,
)
from registry.settings import Settings
from streams.retrain import RetrainAgent, announce
from tests.unit.registry.builders import (
    a_canary_state,
    a_ramp,
    a_ramping_state,
    a_soaking_state,
    a_state,
)

RUN = TrainingRun("run-1", "w1", "anna", "2026-01-01T00:00:00", "2026-01-01T00:01:00")


def announced(
    deploy: Any, state: RolloutState | None, run: TrainingRun = RUN, **settings: Any
) -> Command:
    command = announce("v0.9", deploy, state, run, Settings(**settings))
    assert command is not None
    assert decode(Command, encode(command)) == command
    return command


def decided(command: Command, state: RolloutState | None) -> RolloutState | None:
    log = EMPTY_LOG if state is None else ControlLog(state.epoch, state)
    return follow(log, command, offset=log.last_offset + 1, at="now", problems={}).log.state


def test_a_swap_makes_the_new_version_the_primary() -> None:
    state = decided(announced("swap", a_state()), a_state())
    assert state is not None
    assert (state.strategy, state.primary_version) == ("fixed", "v0.9")


def test_a_canary_puts_the_new_version_beside_the_primary() -> None:
    command = announced("canary", a_state(), retrain_canary_percentage=5)
    state = decided(command, a_state())
    assert state is not None
    assert (state.strategy, state.primary_version) == ("canary", "v0.1")
    assert (state.canary_version, state.canary_percentage) == ("v0.9", 5)


def test_a_shadow_shows_the_new_version_to_nobody() -> None:
    state = decided(announced("shadow", a_state()), a_state())
    assert state is not None
    assert (state.strategy, state.primary_version) == ("shadow", "v0.1")
    assert state.canary_version == "v0.9"
    assert canary_share(state) == 0


def test_a_canary_takes_the_place_of_the_one_on_trial() -> None:
    state = decided(announced("canary", a_canary_state()), a_canary_state())
    assert state is not None
    assert state.canary_version == "v0.9"


@pytest.mark.parametrize("deploy", ["swap", "canary", "shadow"])
def test_the_first_version_is_always_swapped_in(deploy: str) -> None:
    state = decided(announced(deploy, None), None)
    assert state is not None
    assert (state.strategy, state.primary_version) == ("fixed", "v0.9")


@pytest.mark.parametrize("state", [None, a_state()])
def test_a_version_that_is_for_the_registry_only_is_not_announced(
    state: RolloutState | None,
) -> None:
    assert announce("v0.9", "none", state, RUN, Settings()) is None


def test_the_command_tells_which_run_made_the_version_and_who_asked_for_it() -> None:
    command = announced("swap", a_state(), environment="staging")
    assert (command.environment, command.issued_by) == ("staging", "retrain@w1")
    assert command.reason == "training run run-1, asked for by anna"


def test_announcing_a_run_again_is_the_same_command() -> None:
    again = announced("swap", a_state())
    other = TrainingRun("run-2", "w1", "anna", RUN.started_at, RUN.updated_at)
    assert again.command_id == announced("swap", None).command_id
    assert again.command_id != announced("swap", None, other).command_id


def test_a_run_with_the_longest_id_can_be_announced() -> None:
    longest = TrainingRun("x" * 200, "w1", "anna", "2026-01-01", "2026-01-01")
    announced("swap", a_state(), longest)


def test_a_canary_of_a_fraction_of_a_percent_is_not_refused() -> None:
    command = announced("canary", a_state(), retrain_canary_percentage=0.5)
    state = decided(command, a_state())
    assert state is not None
    assert state.canary_percentage == 0.5


# --- the end of a run -----------------------------------------------------------------------


class Runs:
    """Stands in for Faust's table: keeps the runs that are written to it."""

    def __init__(self) -> None:
        self.written: list[TrainingRun] = []

    def write_training(self, run: TrainingRun) -> None:
        self.written.append(run)


def finished(
    folder: Path, state: RolloutState, kafka: type[DecidedAtOnce] = NeverDecided
) -> tuple[TrainingRun, list[Command]]:
    """Return what is told of a run that published v0.9 under `state`, and what it commanded."""
    parts, runs = some_parts(folder, state, kafka), Runs()
    surroundings: Any = (parts.node.view, runs, parts.delivery, parts.metrics, {})
    agent = RetrainAgent(parts.settings, parts.topics, "w1", *surroundings)
    result = TrainingResult("run-1", "published", version="v0.9")
    asyncio.run(agent._finish(RUN, Command("run-1", "retrain", "anna"), result))
    (run,) = runs.written
    return run, parts.delivery.commands


@pytest.mark.parametrize(
    "state", [a_state(), a_canary_state(), a_state(ramp=a_ramp(3, outcome="promoted"))]
)
def test_a_published_version_is_announced_and_the_run_says_how(
    tmp_path: Path, state: RolloutState
) -> None:
    run, commands = finished(tmp_path, state)
    assert [one.type for one in commands] == [run.announced] == ["swap"]
    assert run.result is not None
    assert (run.result.version, run.result.code) == ("v0.9", None)


@pytest.mark.parametrize(
    "state", [a_ramping_state(), a_ramping_state(a_ramp(paused=True)), a_soaking_state()]
)
def test_while_a_ramp_is_under_way_a_new_version_waits_in_the_registry_and_the_run_says_so(
    tmp_path: Path, state: RolloutState
) -> None:
    run, commands = finished(tmp_path, state)
    assert (commands, run.announced) == ([], None)
    assert run.result is not None
    assert (run.result.version, run.result.code) == ("v0.9", "not_announced")
    assert run.result.reason == "a ramp is under way; `recstream swap v0.9` once it has ended"


def test_a_kafka_that_does_not_take_the_announcement_is_told_with_the_run(tmp_path: Path) -> None:
    run, _ = finished(tmp_path, a_state(), OutOfReach)
    assert run.announced is None
    assert run.result is not None
    assert (run.result.version, run.result.code) == ("v0.9", "not_announced")
