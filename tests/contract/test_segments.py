"""Segments of interactions wherever a registry can be."""

from __future__ import annotations

import pytest

from registry.storage.objects import Objects
from tests.unit.training.builders import forget, rows_of, watch
from training.data.cells_from_rows import gather
from training.log.offset_ranges import Span
from training.log.segments import Segments


@pytest.fixture
def segments(url: str) -> Segments:
    return Segments(Objects(url), "reco.interactions")


def users(segments: Segments, span: Span) -> list[int | None]:
    return [row for _, table in segments.read(0, span) for row in table["user_int"].to_pylist()]


def test_what_is_added_is_read_again_and_small_segments_become_one(segments: Segments) -> None:
    rows = rows_of([watch(user, 7) for user in range(4)])
    for start in range(4):
        segments.add(0, Span(start, start + 1), rows.slice(start, 1))

    assert segments.held(0) == [Span(0, 4)]
    assert users(segments, Span(1, 4)) == [1, 2, 3]


def test_the_first_of_two_writers_stays_and_the_second_agrees(url: str) -> None:
    for segments in (Segments(Objects(url), "t"), Segments(Objects(url), "t")):
        segments.add(0, Span(0, 2), rows_of([watch(1, 7), watch(2, 7)]))
        assert users(segments, Span(0, 2)) == [1, 2]


def test_who_is_forgotten_is_wiped_out_in_place(segments: Segments) -> None:
    segments.add(0, Span(0, 3), rows_of([watch(1, 7), watch(2, 7), forget(1)]))
    found = gather(lambda columns: ((0, rows) for _, rows in segments.read(0, Span(0, 3), columns)))

    segments.forget(0, Span(0, 3), found.forgotten[0], found.newly_met[0])

    assert users(segments, Span(0, 3)) == [None, 2, 1]
