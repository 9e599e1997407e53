"""When the owner writes the newest control log again, because a worker misses it.

Pure: heartbeats and times in. The owner's table (`streams.state.rollout_table`) writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from registry.error_codes import ReadinessCode
from registry.guardrails.live_workers import LIVE_SECONDS
from registry.wire.heartbeats import Heartbeat

SETTLE_SECONDS: Final = 2.0
"""Since a log was written, until a heartbeat that names an older one means that it was missed."""

MEND_SECONDS: Final = 3.0
"""Since a log was written, until it is written again because somebody misses it. Doubles each time:
what cannot be mended must not fill the changelog."""

MOST_MEND_SECONDS: Final = 60.0


class Rewrites:
    """Since when a log is written, and how long until it may be written again."""

    def __init__(self, now: float) -> None:
        self._written_at = now
        self._pause = MEND_SECONDS

    def note_new(self, now: float) -> None:
        """Note that a log was written that nobody could miss before."""
        self.note_again(now)
        self._pause = MEND_SECONDS

    def note_again(self, now: float) -> None:
        """Note that the same log was written again."""
        self._written_at = now

    def who_misses(
        self, fleet: Sequence[Heartbeat], log_offset: int, echoed: int, now: float
    ) -> str | None:
        """Return who lacks the log of `log_offset`, if it is to be written again now.

        Parameters
        ----------
        fleet
            The latest heartbeats.
        log_offset
            Last offset of the newest log; negative for an empty one.
        echoed
            Last offset of the log that the changelog ends with.
        now
            In seconds, of a monotonic clock.
        """
        elapsed = now - self._written_at
        if log_offset < 0 or elapsed < self._pause:
            return None
        missing = behind(fleet, log_offset, elapsed - SETTLE_SECONDS)
        if not missing and echoed >= log_offset:
            self._pause = MEND_SECONDS
            return None
        self._pause = min(2 * self._pause, MOST_MEND_SECONDS)
        return ", ".join(heartbeat.worker for heartbeat in missing) or "the changelog"


def behind(
    fleet: Sequence[Heartbeat], log_offset: int, within_seconds: float
) -> tuple[Heartbeat, ...]:
    """Return the workers whose control log is older than that of `log_offset`.

    One that is still reading the rollout table is not among them, nor one that was silent of late.

    Parameters
    ----------
    fleet
        The latest heartbeats.
    log_offset
        Last offset of the newest log.
    within_seconds
        How recent a heartbeat must be, measured against the latest of all.
    """
    heard_at = max((heartbeat.at for heartbeat in fleet), default=0.0)
    return tuple(
        heartbeat
        for heartbeat in fleet
        if heartbeat.log_offset is not None
        and heartbeat.log_offset < log_offset
        and heard_at - heartbeat.at <= min(within_seconds, LIVE_SECONDS)
        and not heartbeat.stopping
        and ReadinessCode.RECOVERING not in heartbeat.reasons
    )
