"""Looking at a running fleet: states, heartbeats, and what they say of a ramp.

Knows which topics tell what, and which pages of a worker. Must not know what is shown to people,
nor the rules: what a ramp's figures mean is `registry.rollout.ramp_decision`'s.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final, NamedTuple

from ops.clients import kafka_client as client
from ops.clients import worker_pages as pages
from registry.guardrails.fleet_checks import KEPT_SECONDS
from registry.kafka.reader import messages, reading
from registry.kafka.topics import topics_of
from registry.rollout.command_log import FOREIGN
from registry.rollout.ramp_decision import Look, look
from registry.rollout.ramp_transitions import ramp_under_way
from registry.settings import Settings
from registry.wire.command_results import CommandResult
from registry.wire.heartbeats import Heartbeat
from registry.wire.rollout_state import RolloutState
from streams.control.heartbeat_follower import heartbeats_since
from streams.http.documents import RampLook

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
    fleet = heartbeats(settings, counted_under=state)
    return Seen(state, fleet, look(state, fleet, time.time()))


def observe_worker(url: str) -> Seen:
    """Return what the worker at `url` sees; its pages are read one after the other."""
    state = pages.rollout(url).state
    if ramp_under_way(state) is None:
        return Seen(state)
    fleet = pages.fleet(url)
    same = state is not None and fleet.epoch == state.epoch
    return Seen(state, (), fleet.ramp if same else None)


def heartbeats(
    settings: Settings, *, counted_under: RolloutState | None = None
) -> tuple[Heartbeat, ...]:
    """Return the newest heartbeat of each worker of the environment that was not silent of late.

    Its ``at`` is the broker's stamp, as workers have it: their clocks need not agree. A record that
    is no heartbeat is left out: each worker reports it.

    Parameters
    ----------
    settings
        Where heartbeats are.
    counted_under
        A state whose counts are needed, also of workers that are no more.
    """
    now = time.time()
    since = now - HEARD_SECONDS
    if counted_under is not None and counted_under.updated_at:
        began = datetime.fromisoformat(counted_under.updated_at).timestamp()
        since = min(since, max(began, now - KEPT_SECONDS))
    found = heartbeats_since(settings, topics_of(settings).fleet, since)
    return tuple(sorted(found, key=lambda one: (one.worker, one.at)))


def follows_another_topic(settings: Settings, url: str | None) -> bool:
    """Tell whether the worker at `url`, or any, says that the control topic is not its log's."""
    if url is not None:
        return any(one.code == FOREIGN for one in pages.readiness(url).reasons)
    return any(FOREIGN in one.reasons for one in heartbeats(settings))


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
