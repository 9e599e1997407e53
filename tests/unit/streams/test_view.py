"""The rollout view: it only moves forward, and knows when it is out of touch."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from registry.control import EMPTY_LOG, ControlLog
from registry.records import TrainingResult, TrainingRun
from streams.view import RolloutView
from tests.unit.registry.builders import a_state


def a_run(started: int, updated: int, run_id: str = "", **given: Any) -> TrainingRun:
    at, later = f"2026-01-01T00:00:{started:02}", f"2026-01-01T00:00:{updated:02}"
    return TrainingRun(run_id or f"run-{started}", "w1", "anna", at, later, **given)


def test_a_new_view_knows_nothing_and_holds_no_lease() -> None:
    view = RolloutView(20)
    assert (view.log, view.state, view.training) == (EMPTY_LOG, None, None)
    assert view.lease_age_seconds(0) is None
    assert not view.lease_holds(0)


def test_a_newer_log_is_taken_with_its_state() -> None:
    view = RolloutView(20)
    assert view.offer_log(ControlLog(7, a_state()))
    assert view.state == a_state()


def test_an_older_log_and_an_echo_are_not_taken() -> None:
    view, newest = RolloutView(20), ControlLog(8, a_state(epoch=8))
    view.offer_log(newest)
    assert not view.offer_log(ControlLog(7, a_state(epoch=7)))
    assert not view.offer_log(ControlLog(8, a_state(epoch=7)))
    assert view.log is newest


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=20))
def test_in_whatever_order_logs_arrive_the_newest_is_known(offsets: list[int]) -> None:
    view, known = RolloutView(20), [-1]
    for offset in offsets:
        view.offer_log(ControlLog(offset))
        known.append(view.log.last_offset)
    assert known == sorted(known)
    assert known[-1] == max([-1, *offsets])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=10))
def test_in_whatever_order_training_runs_arrive_the_latest_is_known(
    times: list[tuple[int, int]],
) -> None:
    view = RolloutView(20)
    for started, updated in times:
        view.offer_training(a_run(started, updated))
    started, updated = max(times)
    assert view.training == a_run(started, updated)


def test_two_updates_at_the_same_moment_are_both_shown() -> None:
    view = RolloutView(20)
    view.offer_training(a_run(1, 2, stage="fit"))
    view.offer_training(a_run(1, 2, stage="evaluate"))
    assert view.training == a_run(1, 2, stage="evaluate")


def test_the_result_of_a_run_is_not_undone_by_the_echo_of_an_update_at_the_same_moment() -> None:
    view, ended = RolloutView(20), a_run(1, 2, result=TrainingResult("run-1", "failed"))
    view.offer_training(a_run(1, 2, stage="fit"))
    view.offer_training(ended)
    view.offer_training(a_run(1, 2, stage="fit"))
    assert view.training == ended


def test_the_lease_holds_up_to_its_last_second_and_not_longer() -> None:
    view = RolloutView(20)
    view.renew_lease(1000, -1, now=1000)
    assert view.lease_age_seconds(1020) == 20
    assert view.lease_holds(1020)
    assert not view.lease_holds(1020.5)


def test_an_older_renewal_does_not_shorten_the_lease() -> None:
    view = RolloutView(20)
    view.renew_lease(1000, -1, now=1000)
    view.renew_lease(990, -1, now=1000)
    assert view.lease_age_seconds(1010) == 10


def test_a_renewal_takes_a_lapsed_lease_up_again() -> None:
    view = RolloutView(20)
    view.renew_lease(1000, -1, now=1000)
    view.renew_lease(1100, -1, now=1100)
    assert view.lease_holds(1110)


def test_an_owners_clock_that_is_a_little_ahead_does_no_harm() -> None:
    view = RolloutView(20)
    view.renew_lease(1001, -1, now=1000)
    assert view.lease_age_seconds(1000) == 0


def test_a_renewal_that_arrives_late_counts_from_when_it_was_written() -> None:
    view = RolloutView(20)
    view.renew_lease(1000, -1, now=1015)
    assert view.lease_age_seconds(1015) == 15


def test_an_owners_clock_that_is_ahead_by_more_than_the_lease_cannot_hold_it_for_long() -> None:
    view = RolloutView(20)
    view.renew_lease(1000 + 3600, -1, now=1000)
    assert view.lease_holds(1020)
    assert not view.lease_holds(1021)


def test_a_renewal_that_knows_of_a_change_which_never_came_does_not_hold_the_lease() -> None:
    view = RolloutView(20)
    view.renew_lease(1000, 3, now=1000)
    assert not view.lease_holds(1000)
    view.offer_log(ControlLog(last_offset=3))
    view.renew_lease(1001, 3, now=1001)
    assert view.lease_holds(1001)
