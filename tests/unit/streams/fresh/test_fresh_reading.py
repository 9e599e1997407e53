"""The reading of the interactions: how far it is, and for which version that is too little."""

from __future__ import annotations

from harness.cells import each_cell

from registry.fresh.event_log import EventLog
from streams.fresh.fresh_gaps import Gap
from streams.fresh.fresh_reading import Reading, lagging_of


def a_reading(
    starts: dict[int, int],
    ends: dict[int, int],
    targets: dict[int, int] | None = None,
    gaps: dict[int, Gap] | None = None,
    high: dict[int, int] | None = None,
) -> Reading:
    log = EventLog()
    log.begin(starts)
    for number, end in ends.items():
        log.pass_over(number, end)
    return Reading(starts, log.frozen, targets or {}, gaps or {}, high or {})


@each_cell(
    ("reading", "lagging"),
    [
        (a_reading({0: 5}, {0: 9}, {0: 9}), set()),
        (a_reading({0: 5}, {0: 8}, {0: 9}), {0}),  # not read up to where it ended
        (a_reading({0: 6}, {0: 9}, {0: 9}), {0}),  # begun too late for this version
        (a_reading({}, {}), {0}),  # not begun
        (a_reading({0: 6}, {0: 9}, {0: 9}, {0: Gap(begins_at=6)}), set()),  # there is no more
    ],
)
def test_a_version_lags_where_not_all_is_read_that_it_needs(
    reading: Reading, lagging: set[int]
) -> None:
    assert lagging_of(reading, {0: 5}, {0: 5}) == lagging


def test_how_far_it_is_behind_is_what_waits_to_be_read() -> None:
    assert a_reading({0: 5, 1: 0}, {0: 9}, high={0: 12, 1: 1}).behind == 4
    assert a_reading({0: 5}, {0: 9}, high={0: 8}).behind == 0
