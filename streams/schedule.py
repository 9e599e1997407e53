"""When the next training run is due. Pure: settings, the last run and the time come in."""

from __future__ import annotations

from datetime import datetime, timedelta

from cronsim import CronSim

from registry.settings import Settings


def next_run_at(settings: Settings, after: datetime) -> datetime | None:
    """Return when the first run after `after` (UTC) is due; None if there is no timer.

    ``RETRAIN_CRON`` goes before ``RETRAIN_INTERVAL``. Runs that fell due while nobody could start
    them are made up for once: the caller compares the answer with the present.
    """
    if settings.retrain_cron is not None:
        return next(CronSim(settings.retrain_cron, after))
    if settings.retrain_interval > 0:
        return after + timedelta(seconds=settings.retrain_interval)
    return None
