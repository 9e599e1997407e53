"""Notices about fresh interactions: late, missing, or not to be found."""

from __future__ import annotations

from registry.fresh.event_log import EventLog
from streams.fresh.fresh_notices import STALLED_SECONDS, Standstill, gap_notice, stall_notice
from streams.fresh.fresh_reading import Gap, Reading

TOPIC = "reco.interactions"


def a_reading(end: int, high: int, gaps: dict[int, Gap] | None = None) -> Reading:
    log = EventLog()
    log.begin({3: 0})
    log.pass_over(3, end)
    return Reading({3: 0}, log.frozen, {}, gaps or {}, {3: high})


def test_a_follower_stalls_while_something_waits_and_nothing_moves() -> None:
    progress = Standstill()
    assert progress.stalled_seconds(a_reading(5, 9), None, 100.0) == 0
    assert progress.stalled_seconds(a_reading(5, 9), None, 107.0) == 7
    assert progress.stalled_seconds(a_reading(6, 9), None, 108.0) == 0  # it moved
    assert progress.stalled_seconds(a_reading(6, 9), None, 120.0) == 12
    assert progress.stalled_seconds(a_reading(6, 6), None, 121.0) == 0  # nothing waits
    assert progress.stalled_seconds(a_reading(6, 6), "refused", 131.0) == 10


def test_it_is_named_with_its_cause_and_what_it_means() -> None:
    reading = a_reading(5, 9)
    assert stall_notice(TOPIC, reading, None, STALLED_SECONDS - 1) is None

    found = stall_notice(TOPIC, reading, "not readable", 12.0)

    assert found is not None
    assert found.code == "fresh_stalled"
    assert "4 interactions wait to be read, none was for 12 s: not readable" in found.message


def test_a_version_that_misses_interactions_is_named_with_the_offsets() -> None:
    reading = a_reading(60, 60, {3: Gap(begins_at=50)})
    assert gap_notice(TOPIC, reading, {"v0.2": {3: 50}}, ()) is None

    found = gap_notice(TOPIC, reading, {"v0.1": {3: 40}, "v0.2": {3: 50}}, ())

    assert found is not None
    assert found.code == "fresh_incomplete"
    assert "v0.1 has learned partition 3 up to offset 40, but the log begins at 50" in found.message
    assert "v0.2" not in found.message


def test_a_log_that_ends_before_a_snapshot_is_another_log() -> None:
    found = gap_notice(TOPIC, a_reading(4, 4, {3: Gap(ended_at=4)}), {"v0.1": {3: 40}}, ())

    assert found is not None
    assert "the log ends at 4: it was made again" in found.message


def test_a_version_of_another_topic_is_named() -> None:
    found = gap_notice(TOPIC, a_reading(4, 4), {}, ["v0.3"])

    assert found is not None
    assert "v0.3 has learned from another topic" in found.message
