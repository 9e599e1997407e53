"""Looking at a running fleet: states, heartbeats, and what they say of a ramp.

Knows which topics tell what, and which pages of a worker. Must not know what is shown to people,
nor the rules: what a ramp's figures mean is `registry.ramping`'s.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final, NamedTuple

from confluent_kafka import KafkaException, TopicPartition
from msgspec.structs import replace

from ops import client, pages
from registry.errors import RecordError
from registry.fleet import Heartbeat
from registry.ramp_rules import ramp_under_way
from registry.ramping import Look, look
from registry.reading import BROKER_SECONDS, connected, messages, reading, unreachable
from registry.records import CommandResult, RolloutState, decode
from registry.settings import Settings
from registry.topics import topics_of
from streams.documents import RampLook

HEARD_SECONDS: Final = 15.0
"""Heartbeats of so long are read: a worker that was silent for longer is not shown."""

READ_SECONDS: Final = 10.0
ALL_RECORDS: Final = 2**62


class Seen(NamedTuple):
    """One look: the state, the fleet, and what it says of the ramp; None if there is none."""

    state: RolloutState | None
    fleet: tuple[Heartbeat, ...] = ()
    ramp: Look | RampLook | None = None


def observe(settings: Settings) -> Seen:
    """Return what holds now; the fleet is asked about only while a ramp is under way."""
    state = client.rollout_state(settings)
    if ramp_under_way(state) is None:
        return Seen(state)
    fleet = heartbeats(settings)
    return Seen(state, fleet, look(state, fleet, time.time()))


def observe_worker(url: str) -> Seen:
    """Return what the worker at `url` sees; its pages are read one after the other."""
    state = pages.rollout(url).state
    if ramp_under_way(state) is None:
        return Seen(state)
    fleet = pages.fleet(url)
    same = state is not None and fleet.epoch == state.epoch
    return Seen(state, (), fleet.ramp if same else None)


def heartbeats(settings: Settings, seconds: float = HEARD_SECONDS) -> tuple[Heartbeat, ...]:
    """Return the newest heartbeat of each worker of the environment within the last `seconds`.

    Its ``at`` is the broker's stamp, as the fleet agent has it: workers' clocks need not agree. A
    record that is no heartbeat is left out: that agent reports it.
    """
    topic = topics_of(settings).fleet.name
    since = time.time() - seconds
    newest: dict[str, Heartbeat] = {}
    with connected(settings) as consumer:
        try:
            found = consumer.offsets_for_times(
                [TopicPartition(topic, 0, int(since * 1000))], timeout=BROKER_SECONDS
            )
        except KafkaException as error:
            raise unreachable(settings, error) from error
        consumer.assign(found)
        for message in messages(consumer, READ_SECONDS, to_end=True):
            with suppress(RecordError):
                one = decode(Heartbeat, message.value())
                if one.environment == settings.environment:
                    _, stamped_ms = message.timestamp()
                    newest[one.instance] = replace(one, at=stamped_ms / 1000)
    return tuple(sorted(newest.values(), key=lambda one: (one.worker, one.at)))


def states_by_environment(settings: Settings) -> dict[str, RolloutState]:
    """Return the newest state of each environment that shares the control topic, by name."""
    newest: dict[str, RolloutState] = {}
    with reading(settings, topics_of(settings).control_results, last=ALL_RECORDS) as consumer:
        for message in messages(consumer, READ_SECONDS, to_end=True):
            result = client.readable(CommandResult, message)
            after = result.after if result else None
            if after is not None:
                newest[after.environment] = max(
                    after, newest.get(after.environment, after), key=lambda state: state.epoch
                )
    return dict(sorted(newest.items()))
