"""The ramp agent: sends what the ramp commands, once, and shows what it saw."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from harness.builders import DecidedAtOnce, NeverDecided, OutOfReach, some_parts
from msgspec.structs import replace

from registry.errors import TransportError
from registry.rollout.command_log import ControlLog
from registry.wire.codec import encode
from registry.wire.command_results import CommandResult
from registry.wire.field_types import AnswerError
from registry.wire.rollout_state import RolloutState
from streams.control.ramp_agent import LOOK_SECONDS, RampAgent
from tests.unit.registry.builders import (
    BEGAN,
    BEGAN_AT,
    a_heartbeat,
    a_ramp,
    a_ramping_state,
    a_soaking_state,
    a_state,
    an_arm,
)

DUE = BEGAN_AT + 60


class FakeConsumer:
    """A librdkafka consumer of a topic with one partition, which holds `results`."""

    def __init__(self, results: list[CommandResult], config: dict[str, Any]) -> None:
        self._values = [encode(result) for result in results]
        self._assigned: list[TopicPartition] = []
        self._next = 0

    def list_topics(self, topic: str, timeout: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions={0: None}, error=None)})

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        return 0, len(self._values)

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._assigned, self._next = partitions, partitions[0].offset

    def assignment(self) -> list[TopicPartition]:
        return self._assigned

    def poll(self, timeout: float) -> Any:
        offset, self._next = self._next, self._next + 1
        value = self._values[offset]
        return SimpleNamespace(error=lambda: None, offset=lambda: offset, value=lambda: value)

    def close(self) -> None:
        """Close nothing."""


class Owner:
    """The worker that owns the control partition, on its own in the fleet."""

    def __init__(
        self, folder: Path, state: RolloutState, kafka: type[DecidedAtOnce] = DecidedAtOnce
    ) -> None:
        self.parts = some_parts(folder, state, kafka)
        self.view = self.parts.node.view
        self.metrics = self.parts.metrics
        self.agent = RampAgent(
            self.parts.settings,
            self.parts.topics,
            self.view,
            self.parts.delivery,
            self.parts.metrics,
        )

    def hear(self, now: float = DUE, **canary: Any) -> None:
        """Take a heartbeat with many good answers, but for what is said of the canary's."""
        epoch = self.view.state.epoch
        arms = (
            an_arm("primary", "v0.1", users=18_000),
            an_arm("canary", "v0.2", **{"users": 2_000} | canary),
        )
        self.view.hear([a_heartbeat(at=now, epoch=epoch, arms=arms)], now)

    def moved(self, now: float = DUE, times: int = 1) -> list[str]:
        async def move() -> None:
            for _ in range(times):
                await self.agent.move(now)

        asyncio.run(move())
        return [command.type for command in self.parts.delivery.commands]

    def gauges(self, name: str) -> dict[tuple[str, ...], float]:
        (metric,) = getattr(self.metrics, name).collect()
        return {tuple(sample.labels.values()): sample.value for sample in metric.samples}


def test_a_step_that_is_due_is_sent_and_the_ramp_moves(tmp_path: Path) -> None:
    owner = Owner(tmp_path, a_ramping_state())
    owner.hear()
    assert owner.moved() == ["step"]
    assert owner.view.state.canary_percentage == 100.0
    assert owner.view.state.updated_by == "ramp"


def test_a_failing_version_is_taken_back(tmp_path: Path) -> None:
    owner = Owner(tmp_path, a_ramping_state())
    owner.hear(errors=4_000)
    assert owner.moved(BEGAN_AT) == ["abort"]
    assert (owner.view.state.strategy, owner.view.state.ramp.outcome) == ("fixed", "rolled_back")


@pytest.mark.parametrize("state", [a_state(), a_ramping_state(a_ramp(paused=True))])
def test_without_a_ramp_that_moves_nothing_is_sent(tmp_path: Path, state: RolloutState) -> None:
    owner = Owner(tmp_path, state)
    owner.hear(errors=4_000)
    assert owner.moved(times=3) == []


def test_a_command_that_nobody_has_decided_yet_is_not_sent_at_each_look(tmp_path: Path) -> None:
    owner = Owner(tmp_path, a_ramping_state(), NeverDecided)
    owner.hear()
    assert owner.moved(times=10) == ["step"]


def test_another_verdict_on_the_same_state_is_sent_at_once(tmp_path: Path) -> None:
    owner = Owner(tmp_path, a_ramping_state(), NeverDecided)
    owner.hear()
    owner.moved()
    owner.hear(DUE + 1, errors=4_000)
    assert owner.moved(DUE + 1) == ["step", "abort"]


HANDING_OVER = a_soaking_state(a_ramp(3, environments=("eu",)))


def a_result(command_id: str = "deploy@eu", **given: Any) -> CommandResult:
    fields: dict[str, Any] = {
        "type": "rollout", "environment": "eu", "status": "applied", "epoch": 20,
        "issued_by": "ramp", "at": BEGAN, "origin": "ramp",
    }  # fmt: skip
    return CommandResult(command_id, **fields | given)


@pytest.mark.parametrize(
    "trail",
    [
        [],
        [a_result("another@eu")],
        [a_result(environment="us")],
        [a_result(status="duplicate")],
    ],
    ids=["nothing", "of another ramp", "of another environment", "that it is known already"],
)
def test_until_the_next_environment_has_answered_the_soak_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trail: list[CommandResult]
) -> None:
    monkeypatch.setattr("registry.kafka.topic_reader.Consumer", partial(FakeConsumer, trail))
    owner = Owner(tmp_path, HANDING_OVER, NeverDecided)
    owner.hear()
    assert owner.moved(times=3) == ["rollout"]
    assert owner.parts.delivery.commands[0].environment == "eu"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (a_result(), "eu has begun"),
        (a_result(status="rejected", error=AnswerError("no_state", "no")), "eu refused: no"),
    ],
    ids=["applied", "rejected"],
)
def test_the_ramp_ends_with_what_the_next_environment_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: CommandResult, words: str
) -> None:
    trail = [answer, a_result(status="duplicate")]
    monkeypatch.setattr("registry.kafka.topic_reader.Consumer", partial(FakeConsumer, trail))
    owner = Owner(tmp_path, HANDING_OVER, NeverDecided)
    owner.hear()
    assert owner.moved(times=10) == ["rollout", "step"]
    end = owner.parts.delivery.commands[-1]
    assert (end.environment, end.reason) == ("production", f"soaked; {words}")


def test_a_kafka_that_is_away_is_told_to_the_caller(tmp_path: Path) -> None:
    owner = Owner(tmp_path, a_ramping_state(), OutOfReach)
    owner.hear()
    with pytest.raises(TransportError):
        owner.moved()


def test_the_metrics_say_where_the_ramp_is_and_what_each_guardrail_says(tmp_path: Path) -> None:
    owner = Owner(tmp_path, a_ramping_state())
    owner.hear(errors=4_000)
    seen = owner.agent.show(DUE)
    assert seen is not None
    assert owner.gauges("ramp_info") == {("production", "v0.2", "stepping", "false"): 1.0}
    assert owner.gauges("ramp_stage") == {(): 1.0}
    assert owner.gauges("ramp_stages") == {(): 4.0}
    verdicts = owner.gauges("guardrail_verdict")
    assert verdicts["error_rate", "fail"] == 1.0
    assert len(verdicts) == len(seen.findings)


def test_the_metrics_forget_a_ramp_that_has_ended(tmp_path: Path) -> None:
    owner = Owner(tmp_path, a_ramping_state())
    owner.hear()
    owner.agent.show(DUE)
    ended = replace(a_state(epoch=8), ramp=a_ramp(3, outcome="promoted"))
    owner.view.offer_log(ControlLog(8, ended))
    assert owner.agent.show(DUE) is None
    assert owner.gauges("ramp_info") == owner.gauges("guardrail_verdict") == {}


def test_how_the_last_ramp_ended_is_a_metric_until_the_next_command(tmp_path: Path) -> None:
    owner = Owner(tmp_path, a_ramping_state())
    owner.agent.show(DUE)
    assert owner.gauges("ramp_outcome") == {}
    for offset, outcome in ((8, "rolled_back"), (9, "promoted")):
        state = a_state(epoch=offset, ramp=a_ramp(3, outcome=outcome))
        owner.view.offer_log(ControlLog(offset, state))
        owner.agent.show(DUE)
        assert owner.gauges("ramp_outcome") == {("production", outcome): 1.0}
    owner.view.offer_log(ControlLog(10, a_state(epoch=10)))
    owner.agent.show(DUE)
    assert owner.gauges("ramp_outcome") == {}


def test_whoever_asks_within_a_second_shares_one_look_and_a_new_state_is_looked_at_anew(
    tmp_path: Path,
) -> None:
    owner = Owner(tmp_path, a_ramping_state())
    owner.hear()
    first = owner.agent.show(BEGAN_AT)
    assert first is not None
    assert owner.agent.seen(BEGAN_AT + LOOK_SECONDS / 2) is first
    assert owner.agent.seen(BEGAN_AT + LOOK_SECONDS) is not first
    assert owner.agent.seen(BEGAN_AT - 3600) is not first, "the clock was set back"
    owner.view.offer_log(ControlLog(8, a_state(epoch=8)))
    assert owner.agent.seen(BEGAN_AT + LOOK_SECONDS) is None
