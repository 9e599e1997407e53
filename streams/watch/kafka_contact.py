"""Contact: whether Kafka accepts this worker's records, and since when it does not. Pure.

The evidence is end to end: a record that was sent and is not confirmed. Metadata is not enough: a
broker answers metadata requests even when it has lost the others and accepts no records. Heartbeats
are sent all the time, so silence shows within a second or two. Must not know how records are sent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from registry.error_codes import ReadinessCode
from streams.watch.notices import Reason

SILENCE_SECONDS: Final = 5.0
"""How long a record may be unconfirmed without a word: a broker under load takes seconds."""


class Contact:
    """When the oldest record was sent that Kafka did not confirm, nor any record after it.

    Parameters
    ----------
    outage_seconds
        After so long without contact, it counts as lost.
    """

    def __init__(self, outage_seconds: float) -> None:
        self._outage_seconds = outage_seconds
        self._waiting_since: float | None = None

    def note_sent(self, now: float) -> None:
        """Note that a record was sent at `now`, by a clock that never goes back; any thread."""
        if self._waiting_since is None:
            self._waiting_since = now

    def note_confirmed(self) -> None:
        """Note that Kafka has confirmed a record; from any thread."""
        self._waiting_since = None

    def silent_seconds(self, now: float) -> float:
        """Return for how long Kafka has confirmed nothing; 0 unless something waits for it."""
        since = self._waiting_since
        return 0.0 if since is None else max(0.0, now - since)

    def is_lost(self, now: float) -> bool:
        """Tell whether the outage lasts longer than a worker should wait."""
        return self.silent_seconds(now) > self._outage_seconds

    def reason(self, now: float, wall: float) -> Reason | None:
        """Return why the worker is not ready; None while Kafka answers.

        Parameters
        ----------
        now
            By the clock of :meth:`note_sent`.
        wall
            The same moment, in seconds since the epoch.
        """
        silent = self.silent_seconds(now)
        if silent <= SILENCE_SECONDS:
            return None
        since = datetime.fromtimestamp(wall - silent, UTC).isoformat(timespec="seconds")
        return Reason(
            ReadinessCode.KAFKA_UNREACHABLE,
            f"Kafka has confirmed nothing since {since} ({silent:.0f} s); check the brokers. This "
            "worker keeps the requests it has read, and continues when they are back; after "
            f"RECSTREAM_OUTAGE_SECONDS={self._outage_seconds:g} s, /healthz asks for a restart",
        )
