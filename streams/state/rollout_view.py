"""The rollout view: what this worker knows of the rollout table and the fleet, and how fresh that
is.

No Faust, no clock. The table itself may show an older value for a moment (its writer re-applies its
own echo; a paused writer may wake up), so nobody reads the table: its changelog and the control
agent's own writes are offered here, and heartbeats as they arrive, and the view only ever moves
forward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from registry.guardrails.live_workers import LIVE_SECONDS
from registry.guardrails.silent_workers import KEPT_SECONDS, remembered
from registry.rollout.command_log import EMPTY_LOG, ControlLog
from registry.rollout.current_phase import is_compared
from registry.wire.heartbeats import Heartbeat
from registry.wire.rollout_state import RolloutState
from registry.wire.training_records.training_messages import TrainingRun
from streams.state.lease import Lease

STATES_REMEMBERED: Final = 64
"""Rollout states that a trace can look up; a ramp has one for each of its steps."""


class RolloutView:
    """The newest control log, lease, training run and heartbeats that reached this worker.

    ``heard_since`` is from when on all heartbeats have been heard, by the broker's clock, infinite
    before the first.
    """

    def __init__(self, lease_seconds: float) -> None:
        self.lease = Lease(lease_seconds)
        self.log: ControlLog = EMPTY_LOG
        self.training: TrainingRun | None = None
        self.states: Mapping[int, RolloutState] = {}
        self.heard_since = math.inf
        self._on_new_log: list[Callable[[], None]] = []
        self._heard_at: float | None = None
        self._heartbeats: Mapping[str, Heartbeat] = {}

    @property
    def fleet(self) -> tuple[Heartbeat, ...]:
        """The latest heartbeat of each worker that is remembered, in no particular order."""
        return tuple(self._heartbeats.values())

    @property
    def state(self) -> RolloutState | None:
        """The newest rollout state, whether or not its versions are loaded here."""
        return self.log.state

    def offer_log(self, log: ControlLog) -> bool:
        """Take `log` unless a newer one is known; tell whether it was taken."""
        if log.topic_id is None and self.log.topic_id is not None:  # of an earlier release's owner
            log = replace(log, topic_id=self.log.topic_id)
        adopts = self.log.topic_id is None and log.topic_id is not None
        if log.last_offset < self.log.last_offset + (not adopts):
            return False
        self.log = log
        if log.state is not None and log.state.epoch not in self.states:
            latest = list(self.states.items())[1 - STATES_REMEMBERED :]
            self.states = dict([*latest, (log.state.epoch, log.state)])
        self.lease.take_log(log.last_offset)
        for note in self._on_new_log:
            note()
        return True

    def call_on_new_log(self, note: Callable[[], None]) -> None:
        """Call `note` from now on whenever a newer log was taken; it must be quick."""
        self._on_new_log.append(note)

    def hear(self, heartbeats: Iterable[Heartbeat], now: float) -> None:
        """Take heartbeats, each unless a later one of that worker is known; forget silent workers.

        The control owner's is the lease of all; see `streams.state.lease`.
        """
        known = dict(self._heartbeats)
        for heartbeat in heartbeats:
            earlier = known.get(heartbeat.instance)
            if earlier is not None and earlier.at > heartbeat.at:
                continue
            known[heartbeat.instance] = heartbeat
            if heartbeat.log_offset is None:  # of an older release: its lease is in the table
                continue
            if heartbeat.owns_control:
                self.renew_lease(heartbeat.at, heartbeat.log_offset, now)
            self.lease.hear_offset(heartbeat.log_offset)
        if self.state is not None:  # while the table is being read, it is not known what to forget
            epoch = self.state.epoch if is_compared(self.state) else None
            known = {
                heartbeat.instance: heartbeat
                for heartbeat in remembered(known.values(), now, epoch)
            }
        self._heartbeats = known

    def unheard_since(self, now: float) -> float | None:
        """Return from when on heartbeats matter that have not been heard; None if all have been.

        While versions are compared, each worker's last counts under the state are evidence, also
        those of a worker that was no more when this one started.
        """
        if self.state is None or not is_compared(self.state):
            return None
        updated_at, since = self.state.updated_at, now - KEPT_SECONDS
        if updated_at is not None:  # whatever is older is no longer in the topic
            since = max(since, updated_at.timestamp())
        return since if since < self.heard_since else None

    def note_end(self, now: float) -> None:
        """Note that no heartbeat is known to Kafka that has not been heard."""
        self._heard_at = now

    def knows_fleet(self, now: float) -> bool:
        """Tell whether all that Kafka has of the latest heartbeats has been heard.

        Right after a start, or while Kafka does not answer, a worker without heartbeats may be
        live.
        """
        return self._heard_at is not None and abs(now - self._heard_at) <= LIVE_SECONDS

    def offer_training(self, run: TrainingRun) -> None:
        """Take the run unless it was started, or told, before the known one."""
        if self.training is None or _order_of(run) >= _order_of(self.training):
            self.training = run

    def renew_lease(self, at: float, last_offset: int, now: float) -> None:
        """Note that the owner, which knew the log up to `last_offset`, was there at `at`."""
        self.lease.renew(at, last_offset, self.log.last_offset, now)


def _order_of(run: TrainingRun) -> tuple[datetime, datetime, bool]:
    """Order the messages about runs; a result goes last within its millisecond."""
    return run.started_at, run.updated_at, run.result is not None
