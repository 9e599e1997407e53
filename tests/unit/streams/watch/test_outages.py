"""Waiting for Kafka, and what its return mends."""

from __future__ import annotations

import logging

import pytest
from aiokafka.errors import NodeNotReadyError, NotCoordinatorForGroupError
from harness.cells import each_cell

from registry.errors import ConfigurationError, TransportError
from streams.watch.outages import LOOK_SECONDS, is_outage, outlast


class Clock:
    """Goes on only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Kafka:
    """Is away for the first looks."""

    def __init__(self, away: float) -> None:
        self.away = away
        self.looks = 0

    def look(self) -> None:
        self.looks += 1
        if self.looks <= self.away:
            raise TransportError(f"refused at look {self.looks}")


def test_a_kafka_that_is_there_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    clock, kafka = Clock(), Kafka(away=0)

    outlast(kafka.look, 900, clock, clock.sleep)

    assert (clock.now, kafka.looks, caplog.records) == (0, 1, [])


def test_each_look_says_in_one_line_that_kafka_is_away(caplog: pytest.LogCaptureFixture) -> None:
    clock, kafka = Clock(), Kafka(away=2)

    with caplog.at_level(logging.INFO):
        outlast(kafka.look, 900, clock, clock.sleep)

    assert clock.now == 2 * LOOK_SECONDS
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for Kafka, 0 of at most 900 s (RECSTREAM_OUTAGE_SECONDS): refused at look 1",
        "waiting for Kafka, 3 of at most 900 s (RECSTREAM_OUTAGE_SECONDS): refused at look 2",
    ]


def test_after_the_bound_the_last_reason_is_raised() -> None:
    clock, kafka = Clock(), Kafka(away=float("inf"))

    with pytest.raises(TransportError, match="refused at look 4"):
        outlast(kafka.look, 3 * LOOK_SECONDS, clock, clock.sleep)


def test_what_no_waiting_mends_is_not_waited_for() -> None:
    def look() -> None:
        raise ConfigurationError("a topic is missing")

    clock = Clock()
    with pytest.raises(ConfigurationError):
        outlast(look, 900, clock, clock.sleep)
    assert clock.now == 0


@each_cell(
    "error", [NodeNotReadyError(), NotCoordinatorForGroupError(), OSError(111), TimeoutError()]
)
def test_what_brokers_cause_is_an_outage(error: Exception) -> None:
    assert is_outage(error)


def test_so_is_what_came_of_it() -> None:
    crash = RuntimeError("the app crashed")
    crash.__cause__ = NodeNotReadyError()

    assert is_outage(crash)


@each_cell("error", [None, ValueError("a bug"), ConfigurationError("wrong")])
def test_a_bug_is_none(error: Exception | None) -> None:
    assert not is_outage(error)
