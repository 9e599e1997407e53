"""Observes a running fleet: rollout states, heartbeats and a ramp's verdicts.

Reads topics, or a worker's HTTP pages. What a ramp's figures mean is decided in
`registry.rollout.ramp_decision`; that module (NumPy) and the HTTP client are imported when they are
needed, so that ``recstream rollout status`` starts fast.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from ops.clients import kafka_client as client
from registry.error_codes import ReadinessCode
from registry.guardrails.silent_workers import KEPT_SECONDS
from registry.kafka.topic_reader import messages, reading
from registry.kafka.topics import topics_of
from registry.rollout.ramp_transitions import ramp_under_way
from registry.settings import Settings
from registry.wire.command_results import CommandResult
from registry.wire.heartbeats import Heartbeat
from registry.wire.rollout_state import RolloutState
from streams.control.heartbeat_follower import heartbeats_since

if TYPE_CHECKING:
    from registry.rollout.ramp_decision import Look
    from streams.http.documents import RampLook

HEARD_SECONDS: Final = 15.0
"""Age of the oldest heartbeats that are read. A worker that was silent for longer is not shown."""

READ_SECONDS: Final = 10.0
ALL_RECORDS: Final = 2**62


class Observation(NamedTuple):
    """One observation: the state, the fleet, and the verdicts on the ramp if one is running."""

    state: RolloutState | None
    fleet: tuple[Heartbeat, ...] = ()
    ramp: Look | RampLook | None = None


def observe(settings: Settings) -> Observation:
    """Return the current state; heartbeats are read only while a ramp is running."""
    state = client.rollout_state(settings)
    if ramp_under_way(state) is None:
        return Observation(state)
    from registry.rollout.ramp_decision import look

    fleet = heartbeats(settings, counted_under=state)
    return Observation(state, fleet, look(state, fleet, time.time()))


def observe_worker(url: str) -> Observation:
    """Return what the worker at `url` sees; its pages are read one after the other."""
    from ops.clients import worker_pages as pages

    state = pages.rollout(url).state
    if ramp_under_way(state) is None:
        return Observation(state)
    fleet = pages.fleet(url)
    same = state is not None and fleet.epoch == state.epoch
    return Observation(state, (), fleet.ramp if same else None)


def heartbeats(
    settings: Settings, *, counted_under: RolloutState | None = None
) -> tuple[Heartbeat, ...]:
    """Return the newest heartbeat of each worker of the environment that sent one recently.

    Its ``at`` is the broker's timestamp, so the workers' clocks need not agree. Invalid records are
    skipped: the workers report them.

    Parameters
    ----------
    settings
        Where Kafka is.
    counted_under
        A state whose counts are needed, including those of workers that have ended.
    """
    now = time.time()
    since = now - HEARD_SECONDS
    if counted_under is not None and counted_under.updated_at is not None:
        began = counted_under.updated_at.timestamp()
        since = min(since, max(began, now - KEPT_SECONDS))
    found = heartbeats_since(settings, topics_of(settings).fleet, since)
    return tuple(sorted(found, key=lambda heartbeat: (heartbeat.worker, heartbeat.at)))


def follows_another_topic(settings: Settings, url: str | None) -> bool:
    """Return whether a worker (the one at `url`, or any) reports a foreign control topic."""
    if url is not None:
        from ops.clients import worker_pages as pages

        return any(
            reason.code == ReadinessCode.FOREIGN_CONTROL_TOPIC
            for reason in pages.readiness(url).reasons
        )
    return any(
        ReadinessCode.FOREIGN_CONTROL_TOPIC in heartbeat.reasons
        for heartbeat in heartbeats(settings)
    )


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
