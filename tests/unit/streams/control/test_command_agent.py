"""The control agent: it answers whatever comes, also what it cannot decide."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness.builders import OutOfReach, confirmed, some_parts
from msgspec.structs import replace

from registry.errors import TransportError
from registry.ramp_plans.outcome_requirements import OutcomeTerms
from registry.rollout.command_log import ControlLog
from registry.wire.codec import decode, encode
from registry.wire.command_results import CommandResult
from registry.wire.commands import Command, Retrain
from registry.wire.field_types import AnswerError
from registry.wire.ramp_values import Goal, Ramp
from streams.control.command_agent import ControlAgent
from streams.delivery.outgoing import Outgoing
from streams.state.rollout_view import RolloutView
from tests.unit.registry.builders import BEGAN, BEGAN_AT, a_canary_state, a_command

JOINED = OutcomeTerms(True, 60.0, math.inf, math.inf)


class Table:
    """Stands in for Faust's table: keeps the logs that are written to it, or fails."""

    def __init__(self, failure: Exception | None, view: RolloutView) -> None:
        self.written: list[ControlLog] = []
        self._failure = failure
        self._view = view

    def write_log(self, log: ControlLog) -> None:
        if self._failure is not None:
            raise self._failure
        self.written.append(log)
        self._view.offer_log(log)


class Taken:
    """Stands in for Kafka: keeps each batch that was sent."""

    def __init__(self) -> None:
        self.batches: list[list[Outgoing]] = []

    def send(self, records: Iterable[Outgoing]) -> asyncio.Future[None]:
        self.batches.append(list(records))
        return confirmed()


class Buggy:
    """Stands in for the retrain agent: fails where it is told to."""

    def __init__(self, where: str) -> None:
        self._where = where

    def refusal(self, command: Retrain) -> None:
        if self._where == "refusal":
            raise KeyError(self._where)

    def start(self, command: Command) -> None:
        raise KeyError(self._where)


class Owner:
    """A control agent with its surroundings, in an environment with a canary of 10 %."""

    def __init__(
        self,
        folder: Path,
        failure: Exception | None = None,
        kafka: Any = None,
        training: Any = None,
        terms: OutcomeTerms = JOINED,
    ) -> None:
        self.parts = some_parts(folder, a_canary_state())
        self.view = self.parts.node.view
        self.table, self.kafka = Table(failure, self.view), kafka or Taken()
        self.topic_id: str | None = None
        self.asked_anew: list[bool] = []
        self.ended: list[int] = []
        self.has_users = False
        self.has_bug = False
        node = self.parts.node
        surroundings: Any = (
            self.table, self.kafka, training, self.parts.metrics, None, self._topic_id,
            lambda: terms, self,
        )  # fmt: skip
        self.agent = ControlAgent(
            self.parts.topics, node.origin, self.view, node.residency, *surroundings
        )

    def look(self, before: Any, result: CommandResult) -> Any:
        assert result.status in ("applied", "rejected")
        if self.has_bug:
            raise ZeroDivisionError
        return SimpleNamespace(state=before) if self.has_users else None

    def write(self, ended: Any) -> None:
        assert len(self.table.written) == 1
        self.ended.append(ended.state.epoch)

    async def _topic_id(self, anew: bool) -> str | None:
        self.asked_anew.append(anew)
        return self.topic_id

    def decide(self, value: bytes | None) -> None:
        topic = self.parts.topics.control.name
        message = SimpleNamespace(
            topic=topic, partition=0, offset=8, timestamp=BEGAN_AT, key=None, value=value,
            headers=(),
        )  # fmt: skip
        event: Any = SimpleNamespace(value=value, message=message)
        asyncio.run(self.agent._decide(event))

    @property
    def result(self) -> CommandResult:
        ((record, *_),) = self.kafka.batches
        assert (record.topic, record.key) == ("reco.control-results", b"production")
        return decode(CommandResult, record.value)


ABORT = encode(a_command("abort"))


def test_a_decided_command_is_written_before_it_is_reported(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.decide(ABORT)
    (log,) = owner.table.written
    assert log.state is not None
    assert (log.last_offset, log.state.strategy) == (8, "fixed")
    assert (owner.result.command_id, owner.result.status) == ("c1", "applied")
    assert owner.result.at == BEGAN
    assert (owner.ended, owner.result.reported_experiment) == ([], None)


def test_the_experiment_that_a_command_ended_is_reported_and_its_result_says_so(
    tmp_path: Path,
) -> None:
    owner = Owner(tmp_path)
    owner.has_users = True
    epoch = a_canary_state().epoch
    owner.decide(ABORT)
    assert (owner.ended, owner.result.reported_experiment) == ([epoch], epoch)
    (log,) = owner.table.written
    assert log.remembered[-1].result.reported_experiment == epoch


def test_a_bug_in_reports_refuses_no_command(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    owner = Owner(tmp_path)
    owner.has_bug = True
    owner.decide(ABORT)
    assert (owner.result.status, owner.result.reported_experiment) == ("applied", None)
    assert owner.ended == []
    assert "no report: command c1" in caplog.text


def test_a_command_for_another_environment_is_none_of_its_business(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.decide(encode(a_command("abort", environment="eu")))
    assert (owner.table.written, owner.kafka.batches) == ([], [])


def test_a_command_that_meets_a_bug_is_answered_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    owner = Owner(tmp_path, KeyError("surprise"))
    with caplog.at_level(logging.CRITICAL):
        owner.decide(ABORT)
    result = owner.result
    assert (result.command_id, result.type, result.issued_by) == ("c1", "abort", "anna")
    assert (result.status, result.epoch, result.after) == ("rejected", 7, None)
    assert result.error is not None
    assert (result.error.code, result.error.message) == ("internal", "KeyError('surprise')")
    commands = owner.parts.metrics.commands
    assert commands.labels("abort", "rejected")._value.get() == 1


def test_a_refusal_for_a_bug_is_remembered_so_that_a_ramp_does_not_ask_for_ever(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    owner = Owner(tmp_path, training=Buggy("refusal"))
    with caplog.at_level(logging.CRITICAL):
        owner.decide(encode(a_command("retrain")))
    (remembered,) = owner.view.log.remembered
    assert remembered.result == owner.result
    assert remembered.result.error == AnswerError("internal", "KeyError('refusal')")
    assert owner.view.state == a_canary_state()


def test_a_bug_after_a_command_was_applied_does_not_call_it_rejected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    owner = Owner(tmp_path, training=Buggy("start"))
    with caplog.at_level(logging.CRITICAL):
        owner.decide(encode(a_command("retrain")))
    assert (owner.result.status, owner.result.error) == ("applied", None)


def test_a_kafka_out_of_reach_is_no_bug_of_the_command(tmp_path: Path) -> None:
    out_of_reach: Any = OutOfReach
    with pytest.raises(TransportError):
        Owner(tmp_path, kafka=out_of_reach(None)).decide(ABORT)


@pytest.mark.parametrize(
    ("value", "code"),
    [(None, "empty"), (b"{", "malformed"), (b"{}", "invalid"), (b"[" * 70_000, "too_large")],
    ids=["none", "half", "another shape", "huge"],
)
def test_what_is_no_command_is_reported_and_dead_lettered_in_one_batch(
    tmp_path: Path, value: bytes | None, code: str
) -> None:
    owner = Owner(tmp_path)
    owner.decide(value)
    assert (owner.result.command_id, owner.result.status) == ("", "rejected")
    assert owner.result.error is not None
    assert owner.result.error.code == code
    assert owner.result.error.message.startswith("offset 8: ")
    ((_, dead),) = owner.kafka.batches
    assert (dead.topic, dead.value) == ("reco.dead-letter", value)
    assert owner.table.written == []


def test_a_command_on_a_foreign_topic_is_refused_and_the_log_stays(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.view.offer_log(replace(owner.view.log, topic_id="t1"))
    owner.topic_id = "t2"
    before = owner.view.log
    owner.decide(ABORT)
    assert (owner.result.status, owner.view.log) == ("rejected", before)
    assert owner.result.error is not None
    assert owner.result.error.code == "foreign_control_topic"


def test_the_topics_id_is_asked_anew_where_offsets_go_back(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    owner.decide(ABORT)
    owner.decide(ABORT)  # at the same offset: a redelivery, or another topic
    assert owner.asked_anew == [False, True]


def test_a_ramp_that_is_decided_by_outcomes_is_refused_where_none_are_joined(
    tmp_path: Path,
) -> None:
    goal = Ramp(steps=(50.0,), hold_seconds=100, goal=Goal("conversion"))
    command = encode(a_command("rollout", canary_version="v0.4", ramp=goal))
    off = Owner(tmp_path, terms=JOINED._replace(are_joined=False))
    off.decide(command)
    assert off.result.error is not None
    assert off.result.error.code == "no_outcomes"
    on = Owner(tmp_path)
    on.decide(command)
    assert on.result.error is not None
    assert on.result.error.code == "unusable_version"  # what it is refused for after that
