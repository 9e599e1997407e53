"""The fleet agent: what a worker says of itself, and which heartbeats the owner keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from time import time
from types import SimpleNamespace
from typing import Any

import pytest
from harness.builders import OutOfReach, confirmed, some_parts
from msgspec.structs import replace

from registry.counts import ShadowCounts
from registry.fleet import FORGET_SECONDS, Heartbeat
from registry.records import decode, encode
from streams.answering import Batch, Tally
from streams.delivery import Outgoing
from streams.exposures import Exposures
from streams.fleet import FleetAgent
from tests.unit.registry.builders import BEGAN_AT, a_canary_state, a_heartbeat


class Rows:
    """Stands in for Faust's table: keeps the heartbeats that are written to it."""

    def __init__(self) -> None:
        self.is_owner = True
        self.written: list[Heartbeat] = []

    def write_heartbeat(self, heartbeat: Heartbeat, now: float) -> None:
        self.written.append(heartbeat)


class Taken:
    """Stands in for Kafka: keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    def send(self, records: Iterable[Outgoing]) -> asyncio.Future[None]:
        self.sent += records
        return confirmed()


class Compared:
    """Stands in for the shadow: has compared three answers under each state."""

    def counts_at(self, epoch: int) -> ShadowCounts:
        return ShadowCounts(compared=3)


class Fleet:
    """A fleet agent with its surroundings."""

    def __init__(self, folder: Path, kafka: Any = None) -> None:
        self.parts = some_parts(folder)
        self.table, self.kafka, self.exposures = Rows(), kafka or Taken(), Exposures()
        surroundings: Any = (self.table, self.kafka, self.exposures, Compared())
        self.agent = FleetAgent(self.parts.topics, self.parts.node, *surroundings)

    def beaten(self, *, stopping: bool = False) -> Heartbeat:
        asyncio.run(self.agent.beat(("loading",), 12, stopping=stopping))
        return decode(Heartbeat, self.kafka.sent[-1].value)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """An agent whose worker acts on a canary and has counted one answer."""
    fleet = Fleet(tmp_path)
    fleet.parts.node.acting = a_canary_state()
    batch = Batch(7)
    batch.arms["canary"] = Tally(1, errors=1)
    fleet.exposures.count(batch, 0)
    return fleet


def test_a_worker_says_what_it_acts_on_and_what_it_counted(fleet: Fleet) -> None:
    fleet.agent.url = "http://127.0.0.1:6066/"
    told = fleet.beaten()
    assert (told.worker, told.environment, told.epoch) == ("w1", "production", 7)
    assert told.instance.startswith("w1@20")
    assert (told.reasons, told.lag, told.owns_control) == (("loading",), 12, True)
    assert (told.url, told.stopping) == ("http://127.0.0.1:6066/", False)
    assert [(arm.version, arm.requests, arm.errors) for arm in told.arms] == [("v0.2", 1, 1)]
    assert told.shadow == ShadowCounts(compared=3)
    sent = fleet.kafka.sent[0]
    assert (sent.topic, sent.key) == ("reco.fleet", b"w1")


def test_a_worker_that_acts_on_nothing_yet_says_so(tmp_path: Path) -> None:
    told = Fleet(tmp_path).beaten()
    assert (told.epoch, told.arms, told.shadow, told.ready) == (None, (), None, ())


def test_counts_are_not_lost_with_a_heartbeat_for_the_next_one_has_them_too(fleet: Fleet) -> None:
    assert fleet.beaten().arms == fleet.beaten().arms


def test_a_heartbeat_tells_the_rate_of_answers_since_the_one_before(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("streams.fleet.time", SimpleNamespace(monotonic=lambda: now[0], time=time))
    assert fleet.beaten().requests_per_second == 0
    fleet.exposures.answered += 30
    now[0] += 2
    assert fleet.beaten().requests_per_second == fleet.agent.requests_per_second == 15


def test_the_last_heartbeat_says_goodbye(fleet: Fleet) -> None:
    assert fleet.beaten(stopping=True).stopping


def test_a_heartbeat_that_kafka_does_not_take_harms_nobody(tmp_path: Path) -> None:
    out_of_reach: Callable[..., Any] = OutOfReach
    fleet = Fleet(tmp_path, out_of_reach(None))
    asyncio.run(fleet.agent.beat((), 0))


def test_the_owner_keeps_the_heartbeats_of_its_environment(fleet: Fleet) -> None:
    ours, theirs = a_heartbeat("w2"), a_heartbeat("w3", environment="staging")
    for one in (ours, theirs):
        fleet.agent._merge(encode(one), BEGAN_AT, BEGAN_AT)
    assert fleet.table.written == [ours]


@pytest.mark.parametrize("skew_seconds", [-86_400, 0, 86_400])
def test_a_heartbeat_is_as_old_as_the_broker_says_whatever_its_workers_clock(
    fleet: Fleet, skew_seconds: float
) -> None:
    told = a_heartbeat(at=BEGAN_AT + skew_seconds)
    fleet.agent._merge(encode(told), BEGAN_AT, BEGAN_AT + 1)
    assert fleet.table.written == [replace(told, at=BEGAN_AT)]


def test_a_heartbeat_that_is_read_again_long_after_is_left_out(fleet: Fleet) -> None:
    read_at = BEGAN_AT + FORGET_SECONDS + 1
    fleet.agent._merge(encode(a_heartbeat(at=read_at)), BEGAN_AT, read_at)
    assert fleet.table.written == []


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "empty"),
        (b"{", "malformed"),
        (b'{"worker":"w1"}', "invalid"),
        (b"[" * 1_000_001, "too_large"),
    ],
    ids=["none", "half", "another shape", "huge"],
)
def test_what_is_no_heartbeat_is_counted_and_left_out(
    fleet: Fleet, value: bytes | None, code: str
) -> None:
    fleet.agent._merge(value, BEGAN_AT, BEGAN_AT)
    assert fleet.table.written == []
    counted = fleet.parts.metrics.dead_letters.labels("reco.fleet", code)
    assert counted._value.get() == 1
