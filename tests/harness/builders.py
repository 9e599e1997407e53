"""Builders for tests of a worker's parts: records, rules, models and parts without a Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

from aiokafka.structs import ConsumerRecord

from registry.answers.recommendation import Recommendation
from registry.errors import TransportError
from registry.kafka.topics import topics_of
from registry.rollout.command_log import ControlLog, follow
from registry.settings import Settings
from registry.versions.model import Model
from registry.wire.codec import decode, encode
from registry.wire.commands import Command
from registry.wire.instants import Instant
from registry.wire.requests import Request
from registry.wire.rollout_state import RolloutState
from streams.control.ramp_agent import RampAgent
from streams.control.seed_agent import SeedAgent
from streams.delivery.outgoing import Outgoing
from streams.delivery.producer import Delivery
from streams.kafka.request_progress import RequestProgress
from streams.metrics import Metrics
from streams.outcomes.experiment_watch import ExperimentWatch
from streams.outcomes.outcome_follower import OutcomeFollower
from streams.serving.answering import Answering
from streams.serving.batch_results import Origin
from streams.serving.routing import RoutingRules
from streams.serving.traces import Traces
from streams.state.rollout_view import RolloutView
from streams.state.worker_node import Node
from streams.watch.kafka_access import AccessCheck
from streams.watch.kafka_contact import Contact
from streams.watch.open_transactions import OpenTransactions
from streams.watch.registry_writable import PublishingCheck
from streams.watch.requests_cut_off import Losses
from streams.watch.topic_watch import TopicWatch

NOW_MS: Final = 1_700_000_000_000
"""The time of all records and clocks here, in milliseconds since the epoch."""


def a_record(value: bytes | None, **given: Any) -> ConsumerRecord[Any, Any]:
    """Return a record of the request topic, of the type that aiokafka hands over."""
    fields: dict[str, Any] = {
        "topic": "reco.requests",
        "partition": 3,
        "offset": 41,
        "timestamp": NOW_MS,
        "timestamp_type": 0,
        "key": b"1",
        "checksum": None,
        "serialized_key_size": 1,
        "serialized_value_size": len(value or b""),
        "headers": (),
    }
    return ConsumerRecord(value=value, **fields | given)


def a_request_of(user_id: Any, request_id: str = "r1", **given: Any) -> ConsumerRecord[Any, Any]:
    """Return a record that asks for recommendations; `given` are the request's other fields."""
    at = given.pop("timestamp", NOW_MS)
    request = Request(request_id, user_id, **given)
    return a_record(encode(request), timestamp=at, key=str(user_id).encode())


def some_rules(
    acting: RolloutState,
    ready: Iterable[str],
    wanted: RolloutState | None = None,
    lease_holds: bool = True,
) -> RoutingRules:
    """Return rules that act on the newest state, unless `wanted` is another."""
    return RoutingRules(acting, wanted or acting, frozenset(ready), lease_holds)


def an_answering(
    models: Mapping[str, Model],
    rules: RoutingRules | None,
    clock_ms: Callable[[], float] = lambda: float(NOW_MS),
    **given: Any,
) -> Answering:
    """Return what worker ``w1`` answers with when its clocks stand still."""
    fields: dict[str, Any] = {"max_request_bytes": 10_000, "threads": 1, "timer": lambda: 0.0}
    return Answering(Origin("production", "w1"), rules, models, clock_ms=clock_ms, **fields | given)


class Watched(Model):
    """Notes which users each scoring call was for; cannot score `poison`, nor a batch with it."""

    def __init__(self, model: Model, poison: Any = None) -> None:
        vars(self).update(vars(model))
        self.calls: list[list[Any]] = []
        self._poison = poison

    def recommend(
        self, requests: Sequence[Request], *, threads: int = 1, fresh: Any = ()
    ) -> list[Recommendation]:
        self.calls.append([request.user_id for request in requests])
        if self._poison in self.calls[-1]:
            raise ZeroDivisionError("a bug")
        return super().recommend(requests, threads=threads, fresh=fresh)


def with_a_bug_for(poison: Any, models: Mapping[str, Model], rules: RoutingRules) -> Answering:
    return an_answering({v: Watched(model, poison) for v, model in models.items()}, rules)


class DecidedAtOnce:
    """Stands in for Kafka and the control agent: decides each command by the rules, when sent."""

    def __init__(self, view: RolloutView) -> None:
        self._view = view
        self.traffic: float | None = None
        self.commands: list[Command] = []

    def send(self, records: Iterable[Outgoing]) -> asyncio.Future[None]:
        for record in records:
            command = decode(Command, record.value)
            self.commands.append(command)
            log = self._view.log
            at = Instant.read("2026-01-01T00:00:00.000+00:00")
            offset = log.last_offset + 1
            decision = follow(log, command, offset=offset, at=at, problems={}, traffic=self.traffic)
            self._view.offer_log(decision.log)
        return confirmed()


class DecidedLater(DecidedAtOnce):
    """Decides each command once its sender waits for the result."""

    def send(self, records: Iterable[Outgoing]) -> asyncio.Future[None]:
        self._deciding = asyncio.create_task(self._decide(list(records)))
        return confirmed()

    async def _decide(self, records: list[Outgoing]) -> None:
        for _ in range(10):  # turns of the loop, of which the sender takes two
            await asyncio.sleep(0)
        super().send(records)


class NeverDecided(DecidedAtOnce):
    """Takes commands, and nobody decides them."""

    def send(self, records: Iterable[Outgoing]) -> asyncio.Future[None]:
        self.commands += [decode(Command, record.value) for record in records]
        return confirmed()


class OutOfReach(DecidedAtOnce):
    """A Kafka that does not take a record."""

    def send(self, records: Iterable[Outgoing]) -> asyncio.Future[None]:
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed.set_exception(TransportError("Kafka did not accept a record: timed out"))
        return failed


def confirmed() -> asyncio.Future[None]:
    """Return what `Delivery.send` returns, already confirmed. Needs a running loop."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


def some_parts(
    folder: Path,
    state: RolloutState | None = None,
    kafka: type[DecidedAtOnce] = DecidedAtOnce,
    **settings: Any,
) -> Any:
    """Return the parts of a worker that has recovered and follows `state`, all real but Kafka."""
    configured = Settings(model_registry=str(folder / "model_registry"), **settings)
    metrics = Metrics()
    node = Node(configured, "w1", metrics)
    if state is not None:
        node.view.offer_log(ControlLog(state.epoch, state))
    node.recovered_once = True
    topics, delivery = topics_of(configured), kafka(node.view)
    watch = TopicWatch(configured, topics)
    app: Any = SimpleNamespace(rebalancing=False, crashed=False, consumer=None)
    follower = OutcomeFollower(configured, topics, lambda: (None, ()), cast(Delivery, delivery))
    return SimpleNamespace(
        settings=configured,
        worker="w1",
        topics=topics,
        app=app,
        interactions=SimpleNamespace(note_made_again=lambda _: None),
        outcomes=SimpleNamespace(note_made_again=lambda _: None, notice=lambda: None),
        new_items=SimpleNamespace(note_made_again=lambda _: None, notice=lambda: None),
        fresh=SimpleNamespace(notices=tuple, status=lambda: None, behind=None, show=lambda _: None),
        progress=RequestProgress(app, topics.requests.name),
        node=node,
        table=SimpleNamespace(recovered=True, is_owner=True),
        entry=SimpleNamespace(outside=None),
        delivery=delivery,
        contact=Contact(configured.outage_seconds),
        fleet=SimpleNamespace(requests_per_second=0.0),
        ramp=RampAgent(configured, topics, node.view, cast(Delivery, delivery), metrics),
        experiment=ExperimentWatch(configured, node.view, follower, metrics),
        seeds=SeedAgent(
            configured,
            topics.control,
            node.view,
            node.store,
            cast(Delivery, delivery),
            watch.is_foreign,
        ),
        traces=Traces(),
        metrics=metrics,
        transactions=OpenTransactions(topics.requests.name),
        watch=watch,
        losses=Losses(topics.requests.name),
        access=AccessCheck(lambda: None),
        publishing=PublishingCheck(node.store, writes=False),
        items=SimpleNamespace(
            **dict.fromkeys(("known", "withdrawn", "offset", "lag"), 0),
            topic=topics.items.name,
            reason=lambda: None,
            notice=lambda: None,
        ),
    )
