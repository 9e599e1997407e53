"""Gaps: interactions that are gone, the versions that miss them, and what an operator is told."""

from __future__ import annotations

from harness.cells import each_cell

from streams.fresh.fresh_gaps import Gap, begin_at, gap_notice, gaps_of

TOPIC = "reco.interactions"


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
    assert gaps_of({0: gap}, {0: end}) == ({0} if missing else set())


def test_a_version_that_misses_interactions_is_named_with_the_offsets() -> None:
    gaps = {3: Gap(begins_at=50)}
    assert gap_notice(TOPIC, gaps, {"v0.2": {3: 50}}, ()) is None

    found = gap_notice(TOPIC, gaps, {"v0.1": {3: 40}, "v0.2": {3: 50}}, ())

    assert found is not None
    assert found.code == "fresh_incomplete"
    assert "v0.1 has learned partition 3 up to offset 40, but the log begins at 50" in found.message
    assert "v0.2" not in found.message


def test_a_log_that_ends_before_a_snapshot_is_another_log() -> None:
    found = gap_notice(TOPIC, {3: Gap(ended_at=4)}, {"v0.1": {3: 40}}, ())

    assert found is not None
    assert "the log ends at 4: it was made again" in found.message


def test_a_version_of_another_topic_is_named() -> None:
    found = gap_notice(TOPIC, {}, {}, ["v0.3"])

    assert found is not None
    assert "v0.3 has learned from another topic" in found.message
