"""The fleet agent: what a worker says of itself, and what the owner says again of others."""

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

from registry.guardrails.silent_workers import CARRY_SECONDS
from registry.rollout.command_log import ControlLog
from registry.wire.codec import decode
from registry.wire.counts import ArmCounts, ShadowCounts
from registry.wire.heartbeats import Heartbeat
from streams.control.fleet_agent import FleetAgent
from streams.delivery.outgoing import Outgoing
from streams.serving.arm_counts import Exposures
from streams.serving.batch_results import Batch
from tests.unit.registry.builders import BEGAN, a_canary_state, a_heartbeat, an_arm


class Owned:
    """Stands in for Faust's table of a worker that owns the control partition."""

    is_owner = recovered = True


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
        self.table, self.kafka, self.exposures = Owned(), kafka or Taken(), Exposures()
        self.is_settled = True
        surroundings: Any = (
            self.table, self.kafka, self.exposures, Compared(), lambda: self.is_settled
        )  # fmt: skip
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
    batch.count(ArmCounts("canary", "v0.2", requests=1, errors=1))
    fleet.exposures.count(batch, 0)
    return fleet


def test_a_worker_says_what_it_acts_on_and_what_it_counted(fleet: Fleet) -> None:
    fleet.agent.url = "http://127.0.0.1:6066/"
    heartbeat = fleet.beaten()
    assert (heartbeat.worker, heartbeat.environment, heartbeat.epoch) == ("w1", "production", 7)
    assert heartbeat.instance.startswith("w1@20")
    assert (heartbeat.reasons, heartbeat.lag, heartbeat.owns_control) == (("loading",), 12, True)
    assert (heartbeat.url, heartbeat.stopping) == ("http://127.0.0.1:6066/", False)
    assert [(arm.version, arm.requests, arm.errors) for arm in heartbeat.arms] == [("v0.2", 1, 1)]
    assert heartbeat.shadow == ShadowCounts(compared=3)
    sent = fleet.kafka.sent[0]
    assert (sent.topic, sent.key) == ("reco.fleet", b"w1")


def test_a_worker_that_acts_on_nothing_yet_says_so(tmp_path: Path) -> None:
    heartbeat = Fleet(tmp_path).beaten()
    assert (heartbeat.epoch, heartbeat.arms, heartbeat.shadow, heartbeat.ready) == (
        None,
        (),
        None,
        (),
    )


def test_an_owner_that_has_yet_to_seed_renews_no_lease(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.is_settled = False
    assert not fleet.beaten().owns_control
    fleet.is_settled = True
    assert fleet.beaten().owns_control


def test_counts_are_not_lost_with_a_heartbeat_for_the_next_one_has_them_too(fleet: Fleet) -> None:
    assert fleet.beaten().arms == fleet.beaten().arms


def test_a_heartbeat_tells_the_rate_of_answers_over_the_last_ten_seconds(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(
        "streams.control.fleet_agent.time", SimpleNamespace(monotonic=lambda: now[0], time=time)
    )
    assert fleet.beaten().requests_per_second == 0
    fleet.exposures.answered += 30
    now[0] += 2
    assert fleet.beaten().requests_per_second == fleet.agent.requests_per_second == 15
    now[0] += 8  # an idle moment does not make an idle worker
    assert fleet.beaten().requests_per_second == 3
    now[0] += 4
    assert fleet.beaten().requests_per_second == 0


def test_the_last_heartbeat_says_goodbye(fleet: Fleet) -> None:
    assert fleet.beaten(stopping=True).stopping


def test_a_heartbeat_that_kafka_does_not_take_harms_nobody(tmp_path: Path) -> None:
    out_of_reach: Callable[..., Any] = OutOfReach
    fleet = Fleet(tmp_path, out_of_reach(None))
    asyncio.run(fleet.agent.beat((), 0))


def silent(**given: Any) -> Heartbeat:
    """Return what a worker said that is no more, under the state that is acted on."""
    arms = (an_arm("canary", "v0.2", 10),)
    return a_heartbeat("gone", **{"at": time() - CARRY_SECONDS - 1, "arms": arms} | given)


@pytest.fixture
def owner(fleet: Fleet) -> Fleet:
    """The owner of the control partition, under a canary."""
    fleet.parts.node.view.offer_log(ControlLog(7, a_canary_state(updated_at=BEGAN)))
    return fleet


def said_again(fleet: Fleet) -> list[Heartbeat]:
    asyncio.run(fleet.agent.beat((), 0))
    sent = [decode(Heartbeat, record.value) for record in fleet.kafka.sent]
    fleet.kafka.sent.clear()
    return sent[1:]


def test_the_owner_says_again_what_a_worker_counted_that_is_no_more_and_not_each_second(
    owner: Fleet,
) -> None:
    gone = silent()
    owner.parts.node.view.hear([gone], time())
    assert said_again(owner) == [replace(gone, heard_at=gone.at)]
    assert said_again(owner) == []


@pytest.mark.parametrize(
    "other",
    [
        silent(epoch=6),
        silent(arms=()),
        silent(at=time()),
        silent(at=time() - CARRY_SECONDS / 2),
    ],
    ids=["another epoch", "no counts", "alive", "said not long ago"],
)
def test_what_is_no_evidence_or_still_in_the_topic_is_not_said_again(
    owner: Fleet, other: Heartbeat
) -> None:
    owner.parts.node.view.hear([other], other.at)
    assert said_again(owner) == []


def test_nobody_but_the_owner_says_again(owner: Fleet) -> None:
    owner.table.is_owner = False
    owner.parts.node.view.hear([silent()], time())
    assert said_again(owner) == []


def test_an_owner_that_still_reads_the_table_does_not_call_itself_owner(fleet: Fleet) -> None:
    fleet.table.recovered = False
    assert not fleet.beaten().owns_control


def test_a_worker_says_which_log_it_knows(owner: Fleet) -> None:
    assert owner.beaten().log_offset == 7
