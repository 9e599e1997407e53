"""The schedule: when the next training run is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from harness.cells import each_cell

from registry.errors import ConfigurationError
from registry.settings import Settings, read_settings
from registry.wire.training_records.gate_results import DataSnapshot
from streams.retraining.run_schedule import jitter_seconds, next_run_at
from streams.retraining.skipped_run import new_records

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
DAILY = Settings(retrain_cron="0 3 * * *")


def test_without_a_timer_no_run_is_due() -> None:
    assert next_run_at(Settings(), NOON) is None


def test_an_interval_is_counted_from_the_last_run() -> None:
    assert next_run_at(Settings(retrain_interval=90), NOON) == NOON + timedelta(seconds=90)


@each_cell(
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


@each_cell("settings", [DAILY, Settings(retrain_interval=3600)])
def test_runs_that_were_missed_are_made_up_for_once(settings: Settings) -> None:
    started, runs, now = NOON - timedelta(days=10), 0, NOON
    while (due := next_run_at(settings, started)) is not None and due <= now:
        started, runs = now, runs + 1
    assert runs == 1


# --- the time zone ---

BERLIN = {"retrain_time_zone": "Europe/Berlin"}


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def runs(expression: str, after: datetime, until: datetime) -> list[datetime]:
    """Return when runs begin that each take no time."""
    settings, starts = Settings(retrain_cron=expression, **BERLIN), [after]
    while (due := next_run_at(settings, starts[-1])) is not None and due <= until:
        starts.append(due)
    return starts[1:]


def test_a_cron_expression_is_read_in_the_time_zone_that_is_set() -> None:
    assert runs("0 3 * * *", utc(2026, 1, 1), utc(2026, 1, 2)) == [utc(2026, 1, 1, 2)]
    assert runs("0 3 * * *", utc(2026, 7, 1), utc(2026, 7, 2)) == [utc(2026, 7, 1, 1)]


def test_a_time_that_a_change_of_clocks_skips_is_made_up_for_right_after_it_and_once() -> None:
    found = runs("30 2 * * *", utc(2026, 3, 28, 12), utc(2026, 3, 30, 12))
    assert found == [utc(2026, 3, 29, 1), utc(2026, 3, 30, 0, 30)]  # 03:00, then 02:30 of summer


def test_a_time_that_comes_twice_is_due_the_first_time_only() -> None:
    found = runs("30 2 * * *", utc(2026, 10, 24, 12), utc(2026, 10, 26, 12))
    assert found == [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)]


@each_cell("minute", range(0, 60, 7))
def test_a_run_that_began_within_the_hour_that_comes_twice_stands_for_it(minute: int) -> None:
    daily = Settings(retrain_cron="30 2 * * *", **BERLIN)
    late = utc(2026, 10, 25, 1, minute)  # 02:00 to 02:59, for the second time
    assert next_run_at(daily, late) == utc(2026, 10, 26, 1, 30)


@each_cell("day", [utc(2026, 3, 28, 22), utc(2026, 10, 24, 22)])
def test_what_is_due_every_half_hour_goes_by_the_time_that_has_passed(day: datetime) -> None:
    found = runs("*/30 * * * *", day, day + timedelta(hours=8))
    assert found == [day + timedelta(minutes=30) * (minutes + 1) for minutes in range(16)]


@each_cell("name", ["Europe/Bern", "../etc/passwd", "/etc/passwd", "Europe", "?"])
def test_a_time_zone_that_is_none_stops_the_start(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^RETRAIN_TIME_ZONE=.*Europe/Paris"):
        read_settings({"RETRAIN_TIME_ZONE": name})


# --- jitter ---


def test_jitter_delays_a_run_by_less_than_it_says_and_by_the_same_on_every_worker() -> None:
    daily = Settings(retrain_cron="0 3 * * *", retrain_jitter=600)
    due = [next_run_at(DAILY, NOON + timedelta(days=day)) for day in range(200)]
    late = [jitter_seconds(daily, moment) for moment in due if moment]
    assert all(0 <= moment < 600 for moment in late)
    assert 250 < sum(late) / len(late) < 350
    assert next_run_at(daily, NOON) == utc(2026, 1, 2, 3) + timedelta(seconds=late[0])


def test_two_environments_do_not_begin_at_the_same_time() -> None:
    staging = Settings(retrain_cron="0 3 * * *", retrain_jitter=600, environment="staging")
    production = staging.model_copy(update={"environment": "production"})
    assert next_run_at(staging, NOON) != next_run_at(production, NOON)


def test_a_run_that_began_late_because_of_its_jitter_is_not_begun_again() -> None:
    daily = Settings(retrain_cron="0 3 * * *", retrain_jitter=3600)
    first = next_run_at(daily, NOON)
    assert first is not None
    second = next_run_at(daily, first)
    assert second is not None
    assert second.date() == first.date() + timedelta(days=1)


# --- what is new ---

LEARNED = DataSnapshot("sha256:1", "reco.interactions", {"0": (0, 10), "1": (5, 20)}, 25, 3, 3)


@each_cell(
    ("ends", "new"),
    [
        ({0: 10, 1: 20}, 0),
        ({0: 13, 1: 24}, 7),
        ({0: 10, 1: 20, 2: 4}, 4),  # a partition that the last run did not have
        ({0: 10, 1: 6}, 6),  # the topic was made anew
    ],
)
def test_new_records_are_those_behind_the_snapshot(ends: dict[int, int], new: int) -> None:
    assert new_records(LEARNED, ends) == new
