"""The rollout view: it only moves forward, and knows when it is out of touch."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from registry.guardrails.silent_workers import FORGET_SECONDS, KEPT_SECONDS
from registry.rollout.command_log import EMPTY_LOG, ControlLog
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import Instant
from registry.wire.training_records.training_messages import TrainingResult, TrainingRun
from streams.state.rollout_view import STATES_REMEMBERED, RolloutView
from tests.unit.registry.builders import (
    BEGAN,
    BEGAN_AT,
    a_canary_state,
    a_heartbeat,
    a_state,
    an_arm,
)


def a_run(started: int, updated: int, run_id: str = "", **given: Any) -> TrainingRun:
    at, later = (
        Instant.read(f"2026-01-01T00:00:{started:02}"),
        Instant.read(f"2026-01-01T00:00:{updated:02}"),
    )
    return TrainingRun(run_id or f"run-{started}", "w1", "anna", at, later, **given)


def test_a_new_view_knows_nothing_and_holds_no_lease() -> None:
    view = RolloutView(20)
    assert (view.log, view.state, view.training) == (EMPTY_LOG, None, None)
    assert view.lease.age_seconds(0) is None
    assert not view.lease.holds(0)


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


def test_whoever_asked_hears_of_each_log_that_was_taken_and_of_no_other() -> None:
    view, heard = RolloutView(20.0), []
    view.call_on_new_log(lambda: heard.append(view.log.last_offset))
    for offset in (3, 2, 3, 5):
        view.offer_log(ControlLog(offset))
    assert heard == [3, 5]


@given(st.lists(st.integers(0, 30), max_size=20))
def test_in_whatever_order_logs_arrive_the_newest_is_known(offsets: list[int]) -> None:
    view, known = RolloutView(20), [-1]
    for offset in offsets:
        view.offer_log(ControlLog(offset))
        known.append(view.log.last_offset)
    assert known == sorted(known)
    assert known[-1] == max([-1, *offsets])


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
    assert view.lease.age_seconds(1020) == 20
    assert view.lease.holds(1020)
    assert not view.lease.holds(1020.5)


def test_an_older_renewal_does_not_shorten_the_lease() -> None:
    view = RolloutView(20)
    view.renew_lease(1000, -1, now=1000)
    view.renew_lease(990, -1, now=1000)
    assert view.lease.age_seconds(1010) == 10


def test_a_renewal_takes_a_lapsed_lease_up_again() -> None:
    view = RolloutView(20)
    view.renew_lease(1000, -1, now=1000)
    view.renew_lease(1100, -1, now=1100)
    assert view.lease.holds(1110)


def test_an_owners_clock_that_is_a_little_ahead_does_no_harm() -> None:
    view = RolloutView(20)
    view.renew_lease(1001, -1, now=1000)
    assert view.lease.age_seconds(1000) == 0


def test_a_renewal_that_arrives_late_counts_from_when_it_was_written() -> None:
    view = RolloutView(20)
    view.renew_lease(1000, -1, now=1015)
    assert view.lease.age_seconds(1015) == 15


def test_an_owners_clock_that_is_ahead_by_more_than_the_lease_cannot_hold_it_for_long() -> None:
    view = RolloutView(20)
    view.renew_lease(1000 + 3600, -1, now=1000)
    assert view.lease.holds(1020)
    assert not view.lease.holds(1021)


def test_a_clock_that_is_set_back_does_not_stretch_the_lease() -> None:
    view = RolloutView(20)
    view.renew_lease(5000, -1, now=5000)
    assert not view.lease.holds(1000)
    view.renew_lease(1000, -1, now=1000)
    assert view.lease.holds(1020)
    assert not view.lease.holds(1021)


def test_a_clock_that_is_corrected_by_a_little_does_no_harm() -> None:
    view = RolloutView(20)
    view.renew_lease(1000, -1, now=1000)
    assert view.lease.holds(998)


def test_a_renewal_that_knows_of_a_change_counts_once_the_change_has_come() -> None:
    view = RolloutView(20)
    view.renew_lease(1000, 3, now=1000)
    assert not view.lease.holds(1000)
    view.offer_log(ControlLog(last_offset=2))
    assert not view.lease.holds(1001)
    view.offer_log(ControlLog(last_offset=3))
    assert view.lease.age_seconds(1001) == 1


def test_a_change_that_never_comes_ends_the_lease_that_held_before_it() -> None:
    view = RolloutView(20)
    view.renew_lease(1000, -1, now=1000)
    for at in range(1001, 1022):
        view.renew_lease(at, 3, now=at)
    assert view.lease.holds(1020)  # the change may be on its way: it was the last second
    assert not view.lease.holds(1021)


def test_a_former_owner_that_does_not_know_the_newest_log_renews_nothing() -> None:
    view = RolloutView(20)
    view.offer_log(ControlLog(last_offset=4))
    view.renew_lease(1000, 4, now=1000)
    view.renew_lease(1030, 3, now=1030)
    assert not view.lease.holds(1030)


def test_the_latest_states_can_be_looked_up_by_their_epochs_and_no_more() -> None:
    view = RolloutView(20)
    for epoch in range(STATES_REMEMBERED + 5):
        view.offer_log(ControlLog(epoch, a_state(epoch=epoch)))
    assert list(view.states) == list(range(5, STATES_REMEMBERED + 5))
    assert view.states[9] == a_state(epoch=9)


def test_a_rejected_command_adds_no_state() -> None:
    view = RolloutView(20)
    view.offer_log(ControlLog(7, a_state()))
    view.offer_log(ControlLog(8, a_state()))
    assert view.states == {7: a_state()}


# --- heartbeats -----------------------------------------------------------------------------


def an_owner(**given: Any) -> Heartbeat:
    return a_heartbeat(**{"owns_control": True, "log_offset": -1} | given)


def test_the_owners_heartbeat_is_the_lease_and_nobody_elses() -> None:
    view = RolloutView(20)
    view.hear([a_heartbeat("w2", log_offset=-1)], BEGAN_AT)
    assert not view.lease.holds(BEGAN_AT)
    view.hear([an_owner()], BEGAN_AT + 1)
    assert view.lease.age_seconds(BEGAN_AT + 1) == 1


def test_an_owner_of_the_release_before_renews_by_the_table_alone() -> None:
    view = RolloutView(20)
    view.hear([an_owner(log_offset=None)], BEGAN_AT)
    assert not view.lease.holds(BEGAN_AT)


def test_a_log_that_anybody_named_is_missed_until_it_comes() -> None:
    view = RolloutView(20)
    view.hear([a_heartbeat("w2", log_offset=5), an_owner(log_offset=4)], BEGAN_AT)
    view.offer_log(ControlLog(last_offset=4))
    assert not view.lease.holds(BEGAN_AT)
    view.hear([an_owner(at=BEGAN_AT + 1, log_offset=5)], BEGAN_AT + 1)
    view.offer_log(ControlLog(last_offset=5))
    assert view.lease.holds(BEGAN_AT + 1)


def test_an_owners_heartbeat_that_is_read_again_renews_nothing() -> None:
    view = RolloutView(20)
    view.hear([an_owner(at=BEGAN_AT + 30)], BEGAN_AT + 30)
    view.hear([an_owner()], BEGAN_AT + 51)
    assert not view.lease.holds(BEGAN_AT + 51)


def test_the_fleet_is_known_while_the_end_of_its_topic_was_reached_of_late() -> None:
    view = RolloutView(20)
    assert not view.knows_fleet(1000)
    view.note_end(1000)
    assert view.knows_fleet(1005)
    assert not view.knows_fleet(1006)
    assert not view.knows_fleet(900)  # the clock was set back; the next end tells


def test_heartbeats_matter_since_the_state_that_compares_versions_and_an_hour_at_most() -> None:
    view, later = RolloutView(20), BEGAN_AT + 100
    assert view.unheard_since(later) is None
    view.offer_log(ControlLog(7, a_canary_state(updated_at=BEGAN)))
    assert view.unheard_since(later) == BEGAN_AT
    view.heard_since = BEGAN_AT + 1
    assert view.unheard_since(later) == BEGAN_AT
    assert view.unheard_since(BEGAN_AT + KEPT_SECONDS + 1) is None
    view.heard_since = BEGAN_AT
    assert view.unheard_since(later) is None


def test_where_no_versions_are_compared_no_earlier_heartbeat_matters() -> None:
    view = RolloutView(20)
    view.offer_log(ControlLog(7, a_state(updated_at=BEGAN)))
    assert view.unheard_since(BEGAN_AT) is None


def offered(*heartbeats: Any, state: Any = None) -> RolloutView:
    view = RolloutView(20)
    if state is not None:
        view.offer_log(ControlLog(state.epoch, state))
    for heartbeat in heartbeats:
        view.hear([heartbeat], max(heartbeat.at, BEGAN_AT))
    return view


def known_to(view: RolloutView) -> list[Heartbeat]:
    return sorted(view.fleet, key=lambda heartbeat: (heartbeat.worker, heartbeat.instance))


def test_the_latest_heartbeat_of_each_worker_is_known() -> None:
    first, second = a_heartbeat(lag=1), a_heartbeat(at=BEGAN_AT + 1, lag=2)
    other = a_heartbeat("w2")
    assert known_to(offered(first, other, second)) == [second, other]


def test_a_heartbeat_that_comes_late_or_twice_changes_nothing() -> None:
    newest = a_heartbeat(at=BEGAN_AT + 5)
    view = offered(newest, newest, a_heartbeat())
    assert view.fleet == (newest,)


def test_a_restart_under_the_same_name_leaves_the_older_instances_counts() -> None:
    before = a_heartbeat(instance="w1@1", arms=(an_arm("canary", "v0.2", 10),))
    after = a_heartbeat(instance="w1@2", at=BEGAN_AT + 1)
    assert known_to(offered(before, after, state=a_state())) == [before, after]


def test_a_late_heartbeat_of_an_older_instance_is_not_taken_for_the_newer_one() -> None:
    after = a_heartbeat(instance="w1@2", at=BEGAN_AT + 1)
    before = a_heartbeat(instance="w1@1")
    assert known_to(offered(after, before)) == [before, after]


def test_a_silent_worker_is_forgotten_unless_its_counts_are_of_the_present_state() -> None:
    silent = a_heartbeat("silent")
    counted = a_heartbeat("counted", arms=(an_arm("canary", "v0.2"),))
    alive = a_heartbeat("alive", at=BEGAN_AT + FORGET_SECONDS + 1)
    view = offered(silent, counted, alive, state=a_canary_state())
    assert known_to(view) == [alive, counted]
    view.offer_log(ControlLog(8, a_canary_state(epoch=8)))
    view.hear([alive], alive.at)
    assert known_to(view) == [alive]


def test_where_no_versions_are_compared_nobodys_counts_are_kept() -> None:
    counted = a_heartbeat("counted", arms=(an_arm("primary", "v0.1"),))
    alive = a_heartbeat("alive", at=BEGAN_AT + FORGET_SECONDS + 1)
    assert known_to(offered(counted, alive, state=a_state())) == [alive]


def test_while_the_table_is_read_all_heartbeats_are_kept() -> None:
    """Which of them count is not known before the first state, which may come last."""
    counted = a_heartbeat("counted", arms=(an_arm("canary", "v0.2"),))
    silent = a_heartbeat("silent")
    alive = a_heartbeat("alive", at=BEGAN_AT + FORGET_SECONDS + 1)
    view = offered(counted, silent, alive)
    assert known_to(view) == [alive, counted, silent]
    view.offer_log(ControlLog(7, a_canary_state()))
    view.hear([alive], alive.at)
    assert known_to(view) == [alive, counted]


def test_a_log_that_has_learned_its_topic_is_taken_and_one_that_forgot_it_keeps_it() -> None:
    view = RolloutView(20)
    view.offer_log(ControlLog(8))
    assert view.offer_log(ControlLog(8, topic_id="t1"))
    assert not view.offer_log(ControlLog(8, topic_id="t2"))
    assert not view.offer_log(ControlLog(8))
    assert view.offer_log(ControlLog(9))  # of an owner of an earlier release
    assert view.log.topic_id == "t1"
    assert view.offer_log(ControlLog(2**40, topic_id="t2"))
    assert view.log.topic_id == "t2"
