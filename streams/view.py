"""The rollout view: what this worker knows of the rollout table, and how fresh that is.

No Faust, no clock. The table itself may show an older value for a moment (its writer re-applies its
own echo; a paused writer may wake up), so nobody reads the table: its changelog and the control
agent's own writes are offered here, and the view only ever moves forward.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from registry.control import EMPTY_LOG, ControlLog
from registry.fleet import Heartbeat, remembered
from registry.records import RolloutState, TrainingRun
from registry.rollout import is_compared

STATES_REMEMBERED: Final = 64
"""Rollout states that a trace can look up; a ramp has one for each of its steps."""


class RolloutView:
    """The newest control log, lease, training run and heartbeats that reached this worker."""

    def __init__(self, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self.log: ControlLog = EMPTY_LOG
        self.training: TrainingRun | None = None
        self.states: Mapping[int, RolloutState] = {}
        self._renewed_at: float | None = None
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
        if log.last_offset <= self.log.last_offset:
            return False
        self.log = log
        if log.state is not None and log.state.epoch not in self.states:
            latest = list(self.states.items())[1 - STATES_REMEMBERED :]
            self.states = dict([*latest, (log.state.epoch, log.state)])
        return True

    def offer_heartbeat(self, heartbeat: Heartbeat, now: float) -> None:
        """Take `heartbeat` unless a later one of that worker is known; forget silent workers."""
        known = self._heartbeats.get(heartbeat.instance)
        if known is not None and known.at > heartbeat.at:
            return
        offered = {**self._heartbeats, heartbeat.instance: heartbeat}
        self._heartbeats = offered
        if self.state is not None:  # while the table is being read, it is not known what to forget
            epoch = self.state.epoch if is_compared(self.state) else None
            kept = remembered(offered.values(), now, epoch)
            self._heartbeats = {one.instance: one for one in kept}

    def offer_training(self, run: TrainingRun) -> None:
        """Take the run unless it was started, or told, before the known one."""
        if self.training is None or _told_at(run) >= _told_at(self.training):
            self.training = run

    def renew_lease(self, at: float, last_offset: int, now: float) -> None:
        """Note that the owner was there, unless a change that it had written has not come here.

        Parameters
        ----------
        at
            When it wrote, in seconds since the epoch by its clock.
        last_offset
            Of the log that it knew.
        now
            The present by this worker's clock.
        """
        if last_offset > self.log.last_offset:
            return
        renewed_at = min(at, now)  # an owner's clock that is ahead must not stretch the lease
        known = self._renewed_at
        if known is None or renewed_at > known or known > now:  # the last: our clock was set back
            self._renewed_at = renewed_at

    def lease_age_seconds(self, now: float) -> float | None:
        """Return the seconds since the last renewal that arrived; None if none ever did."""
        return None if self._renewed_at is None else now - self._renewed_at

    def lease_holds(self, now: float) -> bool:
        """Tell whether this worker is in touch with the rollout table at `now`.

        A renewal from the future was heard before this worker's clock was set back: it counts for a
        lease at most, or the lease would hold for as long as the clock was set back.
        """
        age = self.lease_age_seconds(now)
        return age is not None and abs(age) <= self.lease_seconds


def _told_at(run: TrainingRun) -> tuple[str, str, bool]:
    """Order what is told of runs; a result goes last within its millisecond."""
    return run.started_at, run.updated_at, run.result is not None
