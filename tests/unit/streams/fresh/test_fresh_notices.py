"""Notices about fresh interactions that are late."""

from __future__ import annotations

from registry.fresh.event_log import EventLog
from streams.fresh.fresh_notices import STALLED_SECONDS, Standstill, stall_notice
from streams.fresh.fresh_reading import Reading

TOPIC = "reco.interactions"


def a_reading(end: int, high: int) -> Reading:
    log = EventLog()
    log.begin({3: 0})
    log.pass_over(3, end)
    return Reading({3: 0}, log.frozen, {}, {}, {3: high})


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
