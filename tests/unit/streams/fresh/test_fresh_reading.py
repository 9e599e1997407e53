"""The reading of the interactions: where it begins, and what is missing for which version."""

from __future__ import annotations

from harness.cells import each_cell

from registry.fresh.event_log import EventLog
from streams.fresh.fresh_reading import Gap, Reading, begin_at, gaps_of, lagging_of


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
    ("start", "low", "high", "found"),
    [
        (5, 0, 9, (5, None)),
        (5, 5, 5, (5, None)),
        (5, 6, 9, (6, Gap(begins_at=6))),
        (5, 0, 4, (4, Gap(ended_at=4))),
    ],
)
def test_reading_begins_as_near_to_the_snapshots_end_as_the_log_allows(
    start: int, low: int, high: int, found: tuple[int, Gap | None]
) -> None:
    assert begin_at(start, low, high) == found


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


@each_cell(
    ("gap", "end", "missing"),
    [
        (Gap(begins_at=6), 5, True),
        (Gap(begins_at=6), 6, False),
        (Gap(ended_at=4), 5, True),
        (Gap(ended_at=4), 4, False),
    ],
)
def test_a_gap_concerns_the_versions_that_need_what_is_gone(
    gap: Gap, end: int, missing: bool
) -> None:
    assert gaps_of(a_reading({0: 6}, {}, gaps={0: gap}), {0: end}) == ({0} if missing else set())


def test_how_far_it_is_behind_is_what_waits_to_be_read() -> None:
    assert a_reading({0: 5, 1: 0}, {0: 9}, high={0: 12, 1: 1}).behind == 4
    assert a_reading({0: 5}, {0: 9}, high={0: 8}).behind == 0
