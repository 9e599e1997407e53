"""Announcing: the command that offers a new version to the fleet, and when there is none."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from harness.builders import DecidedAtOnce, NeverDecided, OutOfReach, confirmed, some_parts
from harness.cells import each_cell
from msgspec import UNSET
from msgspec.structs import replace

from registry.rollout.assignment import canary_share
from registry.rollout.command_log import EMPTY_LOG, ControlLog, follow
from registry.rollout.policy_file import RampPolicy
from registry.settings import Settings
from registry.wire.codec import decode, encode
from registry.wire.command_results import CommandResult
from registry.wire.commands import Command, Retrain, Rollout
from registry.wire.field_types import AnswerError
from registry.wire.instants import BEGINNING, Instant
from registry.wire.ramp_values import RampCause
from registry.wire.rollout_state import RolloutState
from registry.wire.training_records.training_messages import (
    TrainingProgress,
    TrainingResult,
    TrainingRun,
)
from streams.delivery.outgoing import Outgoing
from streams.retraining.announcement import announce
from streams.retraining.retrain_agent import RetrainAgent
from tests.unit.registry.builders import (
    a_canary_state,
    a_plan,
    a_ramp,
    a_ramping_state,
    a_soaking_state,
    a_state,
)

RUN = TrainingRun(
    "run-1", "w1", "anna", Instant.read("2026-01-01T00:00:00"), Instant.read("2026-01-01T00:01:00")
)


def announced(
    deploy: Any, state: RolloutState | None, run: TrainingRun = RUN, **settings: Any
) -> Command:
    command = announce("v0.9", deploy, state, run, Settings(**settings), A_POLICY)
    assert decode(Command, encode(command)) == command
    return command


def decided(command: Command, state: RolloutState | None) -> RolloutState | None:
    log = EMPTY_LOG if state is None else ControlLog(state.epoch, state)
    offset, traffic = log.last_offset + 1, 10_000.0
    return follow(log, command, offset=offset, at=BEGINNING, problems={}, traffic=traffic).log.state


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


@each_cell("deploy", ["swap", "canary", "shadow"])
def test_the_first_version_is_always_swapped_in(deploy: str) -> None:
    state = decided(announced(deploy, None), None)
    assert state is not None
    assert (state.strategy, state.primary_version) == ("fixed", "v0.9")


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
    longest = TrainingRun(
        "x" * 200, "w1", "anna", Instant.read("2026-01-01"), Instant.read("2026-01-01")
    )
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


A_POLICY = RampPolicy(ramp=a_plan(), bucketing="hash")


class Sent:
    """Keeps what goes to the trail; the rest goes on to `kafka`."""

    def __init__(self, kafka: Any) -> None:
        self._kafka = kafka
        self.results: list[CommandResult] = []

    def send(self, records: Iterable[Outgoing]) -> Any:
        commands = []
        for record in records:
            if record.topic.endswith("control-results"):
                self.results.append(decode(CommandResult, record.value))
            else:
                commands.append(record)
        return self._kafka.send(commands) if commands else confirmed()


class Finished(NamedTuple):
    run: TrainingRun
    commands: list[Command]
    trail: list[CommandResult]


def finished(
    folder: Path,
    state: RolloutState,
    kafka: type[DecidedAtOnce] = NeverDecided,
    deploy: Any = UNSET,
) -> Finished:
    """Return what is told of a run that published v0.9 under `state`, and what it commanded."""
    parts, runs = some_parts(folder, state, kafka), Runs()
    delivery = Sent(parts.delivery)
    surroundings: Any = (parts.node.view, runs, delivery, parts.metrics, {})
    agent = RetrainAgent(parts.settings, parts.topics, "w1", *surroundings, ramp=A_POLICY)
    result = TrainingResult("run-1", "published", version="v0.9")
    asyncio.run(agent._finish(RUN, Retrain("run-1", "anna", deploy=deploy), result))
    (run,) = runs.written
    return Finished(run, parts.delivery.commands, delivery.results)


@pytest.mark.parametrize(
    "state", [a_state(), a_canary_state(), a_state(ramp=a_ramp(3, outcome="promoted"))]
)
def test_a_published_version_is_announced_and_the_run_says_how(
    tmp_path: Path, state: RolloutState
) -> None:
    run, commands, trail = finished(tmp_path, state)
    assert [command.type for command in commands] == [run.announced] == ["swap"]
    assert trail == []
    assert run.result is not None
    assert (run.result.version, run.result.code) == ("v0.9", None)


@pytest.mark.parametrize(
    "state", [a_ramping_state(), a_ramping_state(a_ramp(paused=True)), a_soaking_state()]
)
def test_while_a_ramp_is_under_way_a_new_version_waits_in_the_registry_and_the_run_says_so(
    tmp_path: Path, state: RolloutState
) -> None:
    run, commands, trail = finished(tmp_path, state)
    assert (commands, run.announced) == ([], None)
    assert run.result is not None
    assert (run.result.version, run.result.code) == ("v0.9", "not_announced")
    assert run.result.reason == "a ramp is in progress; `recstream swap v0.9` once it has ended"
    (entry,) = trail
    assert entry.error == AnswerError("not_announced", run.result.reason)
    assert entry.reason == "training run run-1, asked for by anna"


def test_a_ramp_of_a_trained_version_is_the_policys_and_names_its_run(tmp_path: Path) -> None:
    run, (command,), trail = finished(tmp_path, a_state(), deploy="ramp")
    assert (run.announced, trail) == ("rollout", [])
    assert isinstance(command, Rollout)
    assert (command.origin, command.issued_by) == ("training", "retrain@w1")
    assert (command.canary_version, command.ramp) == ("v0.9", A_POLICY.ramp)
    assert command.cause == RampCause("run-1", "anna")
    state = decided(command, a_state())
    assert state is not None
    assert state.ramp is not None
    assert state.ramp.cause == command.cause


def test_a_version_whose_ramp_would_end_a_trial_waits_and_the_trail_says_for_what(
    tmp_path: Path,
) -> None:
    run, commands, (entry,) = finished(tmp_path, a_canary_state(strategy="ab_test"), deploy="ramp")
    assert (commands, run.announced) == ([], None)
    assert entry.error is not None
    assert entry.error.code == "not_announced"
    assert "a trial of its own (strategy ab_test" in entry.error.message


def test_a_kafka_that_does_not_take_the_announcement_is_told_with_the_run(tmp_path: Path) -> None:
    run, _, _ = finished(tmp_path, a_state(), OutOfReach)
    assert run.announced is None
    assert run.result is not None
    assert (run.result.version, run.result.code) == ("v0.9", "not_announced")


class Trail:
    """Takes what is sent to the control-results topic."""

    def __init__(self) -> None:
        self.results: list[CommandResult] = []

    def send(self, records: Iterable[Outgoing]) -> asyncio.Future[None]:
        self.results += [decode(CommandResult, record.value) for record in records]
        return confirmed()


class Run:
    """A retrain agent whose table and delivery remember, and what it has told of its runs."""

    def __init__(self, folder: Path, state: RolloutState | None = None, **settings: Any) -> None:
        parts = some_parts(folder, state, NeverDecided, **settings)
        self.view, self.metrics = parts.node.view, parts.metrics
        self.runs, self.trail = Runs(), Trail()
        agents: Any = (self.view, self.runs, self.trail, parts.metrics, {})
        self.agent = RetrainAgent(parts.settings, parts.topics, "w2", *agents)

    def counted(self, status: str) -> float | None:
        return self.metrics.registry.get_sample_value("training_runs_total", {"status": status})

    def end(self, result: TrainingResult) -> None:
        asyncio.run(self.agent._finish(RUN, Retrain("run-1", "anna"), result))


def test_a_run_is_in_the_table_before_its_command_has_a_result(tmp_path: Path) -> None:
    seen = Run(tmp_path)

    async def started() -> list[TrainingRun]:
        seen.agent.start(Retrain("run-1", "anna"))
        written = list(seen.runs.written)
        await seen.agent.stop()
        return written

    (run,) = asyncio.run(started())
    assert (run.run_id, run.worker, run.result) == ("run-1", "w2", None)


@pytest.mark.parametrize(
    ("status", "code", "counted"),
    [
        ("failed", "timeout", "timeout"),
        ("failed", "out_of_memory", "out_of_memory"),
        ("failed", "died", "failed"),
        ("refused", "gate", "refused"),
    ],
)
def test_a_run_that_ends_without_a_version_is_told_on_the_page_in_metrics_and_in_the_trail(
    tmp_path: Path, status: Any, code: str, counted: str
) -> None:
    seen = Run(tmp_path, a_state())
    seen.end(TrainingResult("run-1", status, code=code, reason="why"))
    assert seen.runs.written[-1].result == TrainingResult("run-1", status, code=code, reason="why")
    assert seen.counted(counted) == 1
    (result,) = seen.trail.results
    assert (result.type, result.status, result.error) == (
        "training",
        "rejected",
        AnswerError(code, "why"),
    )
    assert result.command_id != "run-1"  # there is one result per command
    assert result.reason == "training run run-1, asked for by anna"


def test_a_version_that_is_for_the_registry_only_is_no_failure_of_the_trail(tmp_path: Path) -> None:
    seen = Run(tmp_path, a_state(), retrain_deploy="none")
    seen.end(TrainingResult("run-1", "published", version="v0.9"))
    assert seen.trail.results == []
    assert seen.counted("published") == 1


def test_a_skipped_run_is_told_and_is_not_in_the_trail(tmp_path: Path) -> None:
    seen = Run(tmp_path, a_state())
    seen.end(TrainingResult("run-1", "refused", code="too_few_new", reason="skipped"))
    assert seen.counted("skipped") == 1
    assert seen.runs.written[-1].result is not None
    assert seen.trail.results == []


def test_a_run_left_behind_by_a_worker_is_ended_and_by_whom_it_goes_on_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")  # the run itself is not what is shown
    seen = Run(tmp_path, a_state())
    left = TrainingRun("run-1", "w1", "timer@w1", RUN.started_at, RUN.updated_at, origin="timer")
    seen.view.offer_training(left)

    async def taken_over() -> None:
        seen.agent.start_if_due(datetime.now(UTC))
        assert seen.agent._task is not None
        await seen.agent._task

    asyncio.run(taken_over())
    lost, again = seen.runs.written[0], seen.runs.written[-1]
    assert lost.result is not None
    assert (lost.run_id, lost.worker, lost.result.code) == ("run-1", "w1", "worker_lost")
    assert lost.result.reason is not None
    assert lost.result.reason.endswith("it restarts as run-1-again")
    assert (again.run_id, again.worker, again.requested_by) == ("run-1-again", "w2", "timer@w2")
    assert (again.origin, again.repeats) == ("timer", "run-1")
    assert again.result is not None
    assert again.result.reason == "the training process ended with exit code 1"


# --- a run that ends otherwise than it should -----------------------------------------------


def ran(seen: Run) -> TrainingResult:
    """Return the result of a run that a command starts."""

    async def run() -> None:
        seen.agent.start(Retrain("run-1", "anna", deploy="none"))
        assert seen.agent._task is not None
        await seen.agent._task

    asyncio.run(run())
    result = seen.runs.written[-1].result
    assert result is not None
    return result


def a_child_that(does: str, folder: Path, before: str = "") -> str:
    """Return a program that says that it has published v0.9, and then `does` something."""
    line = encode(TrainingResult("run-1", "published", version="v0.9")).decode()
    child = folder / "child"
    child.write_text(f"#!/bin/sh\necho '{before}'\necho '{line}'\n{does}\n")
    child.chmod(0o755)
    return str(child)


def test_a_training_that_has_told_its_result_and_does_not_exit_is_ended_and_its_result_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", a_child_that("exec sleep 600", tmp_path))
    monkeypatch.setattr("streams.retraining.child_process.EXIT_SECONDS", 0.01)
    seen = Run(tmp_path, a_state(), retrain_timeout=60.0)
    result = ran(seen)
    assert (result.status, result.version) == ("published", "v0.9")


def test_a_bug_at_the_end_of_a_run_does_not_leave_it_under_way_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", a_child_that("exit", tmp_path))
    seen = Run(tmp_path, a_state())
    monkeypatch.setattr(seen.metrics, "training_runs", None)
    with caplog.at_level(logging.CRITICAL):
        assert ran(seen).version == "v0.9"


def test_a_run_after_that_of_a_worker_whose_clock_is_ahead_is_the_latest_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = encode(TrainingProgress("run-1", "fit", 1, 2)).decode()
    monkeypatch.setattr(sys, "executable", a_child_that("exit", tmp_path, line))
    seen, ahead = Run(tmp_path, a_state()), Instant(2100, 1, 1, tzinfo=UTC)
    ended = TrainingResult("run-0", "published", version="v0.8")
    seen.view.offer_training(TrainingRun("run-0", "w1", "anna", ahead, ahead, result=ended))
    ran(seen)
    assert len(seen.runs.written) == 3
    for run in seen.runs.written:
        seen.view.offer_training(run)
        assert seen.view.training == run


def test_a_retraining_that_is_to_be_ramped_is_refused_where_no_ramp_is_set(tmp_path: Path) -> None:
    agent = Run(tmp_path, a_state()).agent
    refusal = agent.refusal(Retrain("run-1", "anna", deploy="ramp"))
    assert refusal is not None
    assert (refusal.code, "RETRAIN_RAMP_FILE" in str(refusal)) == ("bad_ramp", True)
    assert agent.refusal(Retrain("run-1", "anna", deploy="swap")) is None
    assert agent.refusal(Retrain("run-1", "anna")) is None


def test_the_reason_of_a_retraining_is_that_of_its_announcement() -> None:
    run = replace(RUN, reason="new films")
    command = announced("swap", a_state(), run)
    assert command.reason == "training run run-1, asked for by anna: new films"
    longest = replace(RUN, reason="x" * 1000)
    assert len(str(announced("ramp", a_state(), longest).reason)) == 1000


def test_a_worker_that_stops_begins_no_run_and_leaves_it_to_the_next_owner(tmp_path: Path) -> None:
    seen = Run(tmp_path, a_state(), retrain_interval=0.001)

    async def stopped() -> None:
        await seen.agent.stop()
        seen.agent.start(Retrain("run-1", "anna"))
        seen.agent.start_if_due(datetime(2100, 1, 1, tzinfo=UTC))

    asyncio.run(stopped())
    assert seen.runs.written == []
    assert seen.agent.refusal() is None
