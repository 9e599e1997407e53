"""The lease: whether this worker is in touch with the control owner, and may act on its state.

No Faust, no clock.
"""

from __future__ import annotations

from registry.rollout.command_log import EMPTY_LOG


class Lease:
    """Renewed by the owner's heartbeats, and only once all that the owner had written is here.

    ``heard_offset`` is the highest offset of a control log that anybody named.

    Parameters
    ----------
    seconds
        How long a renewal counts.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.heard_offset = EMPTY_LOG.last_offset
        self._owner_at: float | None = None
        self._renewed_at: float | None = None

    def hear_offset(self, last_offset: int) -> None:
        """Note that a worker named the log up to `last_offset`."""
        self.heard_offset = max(self.heard_offset, last_offset)

    def renew(self, at: float, last_offset: int, log_offset: int, now: float) -> None:
        """Note that the owner was there; that counts once all it had written has come here.

        A former owner that was paused, and does not know yet that it is replaced, names an older
        log than others have named: it renews nothing.

        Parameters
        ----------
        at
            When it said so, in seconds since the epoch, by the broker's clock.
        last_offset
            Of the log that it knew.
        log_offset
            Of the log that this worker knows.
        now
            The present by this worker's clock.
        """
        if last_offset < self.heard_offset:
            return
        self.heard_offset = last_offset
        owner_at = min(at, now)  # a broker's clock that is ahead must not stretch the lease
        known = self._owner_at
        if known is None or owner_at > known or known > now:  # the last: our clock was set back
            self._owner_at = owner_at
        self.take_log(log_offset)

    def take_log(self, log_offset: int) -> None:
        """Count the owner's latest sign of life if the log is here that it knew."""
        if log_offset >= self.heard_offset and self._owner_at is not None:
            self._renewed_at = self._owner_at

    def age_seconds(self, now: float) -> float | None:
        """Return the seconds since the last renewal that arrived; None if none ever did."""
        return None if self._renewed_at is None else now - self._renewed_at

    def holds(self, now: float) -> bool:
        """Tell whether this worker is in touch with the rollout table at `now`.

        A renewal from the future arrived before this worker's clock was set back. It counts for one
        lease at most; otherwise the lease would hold for as long as the clock was set back.
        """
        age = self.age_seconds(now)
        return age is not None and abs(age) <= self.seconds
