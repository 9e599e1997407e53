"""The schedule: when the next training run is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from registry.settings import Settings
from streams.schedule import next_run_at

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
DAILY = Settings(retrain_cron="0 3 * * *")


def test_without_a_timer_no_run_is_due() -> None:
    assert next_run_at(Settings(), NOON) is None


def test_an_interval_is_counted_from_the_last_run() -> None:
    assert next_run_at(Settings(retrain_interval=90), NOON) == NOON + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("after", "due"),
    [
        (NOON, datetime(2026, 1, 2, 3, tzinfo=UTC)),
        (datetime(2026, 1, 1, 2, 59, 59, 999, tzinfo=UTC), datetime(2026, 1, 1, 3, tzinfo=UTC)),
        (datetime(2026, 1, 1, 3, tzinfo=UTC), datetime(2026, 1, 2, 3, tzinfo=UTC)),
    ],
)
def test_a_cron_expression_is_read_in_utc_and_is_due_after_the_last_run(
    after: datetime, due: datetime
) -> None:
    assert next_run_at(DAILY, after) == due


def test_a_cron_expression_goes_before_an_interval() -> None:
    both = Settings(retrain_cron="0 3 * * *", retrain_interval=1)
    assert next_run_at(both, NOON) == next_run_at(DAILY, NOON)


@pytest.mark.parametrize("settings", [DAILY, Settings(retrain_interval=3600)])
def test_runs_that_were_missed_are_made_up_for_once(settings: Settings) -> None:
    started, runs, now = NOON - timedelta(days=10), 0, NOON
    while (due := next_run_at(settings, started)) is not None and due <= now:
        started, runs = now, runs + 1
    assert runs == 1
