"""When the next training run is due. Pure: settings, the last run and the time come in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from registry.settings import Settings
from registry.versions.manifest import digest

JITTER_STEPS: Final = 2**32
"""Into how many shares the jitter is cut: below a millisecond, even of a month."""


def next_run_at(settings: Settings, after: datetime) -> datetime | None:
    """Return when the first run after `after` (UTC) may begin, in UTC; None if there is no timer.

    ``RETRAIN_CRON`` goes before ``RETRAIN_INTERVAL``. Runs that fell due while nobody could start
    them are made up for once: the caller compares the answer with the present. The jitter comes on
    top of the time that is due; a run that began meanwhile, for whatever reason, counts for it.
    """
    due_at = _due_at(settings, after)
    if due_at is None:
        return None
    return due_at + timedelta(seconds=jitter_seconds(settings, due_at))


def jitter_seconds(settings: Settings, due_at: datetime) -> float:
    """Return how much later than `due_at` a run begins: 0 up to ``RETRAIN_JITTER``, not included.

    A digest of environment and time, so that every worker of a fleet comes to the same, and two
    fleets on one broker seldom do.

    >>> jitter_seconds(Settings(), datetime(2026, 1, 1, tzinfo=UTC))
    0.0
    """
    name = f"{settings.environment}@{due_at.astimezone(UTC).isoformat()}"
    return settings.retrain_jitter * (int(digest(name.encode())[:8], 16) / JITTER_STEPS)


def _due_at(settings: Settings, after: datetime) -> datetime | None:
    if settings.retrain_cron is not None:
        return _cron_after(settings.retrain_cron, _zone(settings.retrain_time_zone), after)
    if settings.retrain_interval > 0:
        return after + timedelta(seconds=settings.retrain_interval)
    return None


def _cron_after(expression: str, zone: tzinfo, after: datetime) -> datetime | None:
    """Return the first time after `after` that the expression names; None if there never is one.

    As Debian's cron does: a time of day that a change of clocks skips is due right after it, one
    that comes twice is due the first time; an expression whose hours or minutes begin with ``*``
    goes by the time that has passed. `CronSim` counts by the wall clock, on which the second of two
    equal hours lies before the first one's end; so what is not after `after` is passed over.
    """
    times = (due.astimezone(UTC) for due in CronSim(expression, after.astimezone(zone)))
    return next((due for due in times if due > after), None)


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
