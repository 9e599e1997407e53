"""The rollout view: what this worker knows of the rollout table, and how fresh that is.

No Faust, no clock. The table itself may show an older value for a moment (its writer re-applies its
own echo; a paused writer may wake up), so nobody reads the table: its changelog and the control
agent's own writes are offered here, and the view only ever moves forward.
"""

from __future__ import annotations

from registry.control import EMPTY_LOG, ControlLog
from registry.records import RolloutState, TrainingRun


class RolloutView:
    """The newest control log, lease and training run that reached this worker."""

    def __init__(self, lease_seconds: float) -> None:
        self.lease_seconds = lease_seconds
        self.log: ControlLog = EMPTY_LOG
        self.training: TrainingRun | None = None
        self._renewed_at: float | None = None

    @property
    def state(self) -> RolloutState | None:
        """The newest rollout state, whether or not its versions are loaded here."""
        return self.log.state

    def offer_log(self, log: ControlLog) -> bool:
        """Take `log` unless a newer one is known; tell whether it was taken."""
        if log.last_offset <= self.log.last_offset:
            return False
        self.log = log
        return True

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
        if self._renewed_at is None or renewed_at > self._renewed_at:
            self._renewed_at = renewed_at

    def lease_age_seconds(self, now: float) -> float | None:
        """Return the seconds since the last renewal that arrived; None if none ever did."""
        return None if self._renewed_at is None else now - self._renewed_at

    def lease_holds(self, now: float) -> bool:
        """Tell whether this worker is in touch with the rollout table at `now`."""
        age = self.lease_age_seconds(now)
        return age is not None and age <= self.lease_seconds


def _told_at(run: TrainingRun) -> tuple[str, str, bool]:
    """Order what is told of runs; a result goes last within its millisecond."""
    return run.started_at, run.updated_at, run.result is not None
