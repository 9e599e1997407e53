"""Segments: the files agree whoever writes them, and hold what was written."""

from __future__ import annotations

import uuid

import pyarrow as pa
import pytest

from registry.errors import ArtifactError
from registry.storage.objects import Objects
from registry.wire.codec import encode
from tests.unit.training.builders import forget, rate, rows_of, watch
from training.data.cells_from_rows import Gathered, gather
from training.log.offset_ranges import Span
from training.log.rows import table_of
from training.log.segments import Segments

NOW = 1e9


@pytest.fixture
def objects() -> Objects:
    return Objects(f"memory://test-segments/{uuid.uuid4().hex}")


@pytest.fixture
def segments(objects: Objects) -> Segments:
    return Segments(objects, "reco.interactions")


def rows_at(start: int, end: int) -> pa.Table:
    payloads = [encode(watch(user, 7)) for user in range(start, end)]
    return table_of(range(start, end), [NOW] * (end - start), payloads)


def offsets(segments: Segments, span: Span) -> list[int]:
    return [row for _, table in segments.read(0, span) for row in table["offset"].to_pylist()]


def gathered(segments: Segments, span: Span) -> Gathered:
    return gather(lambda columns: ((0, table) for _, table in segments.read(0, span, columns)))


def test_what_was_added_is_read_again_whole_or_in_part(segments: Segments) -> None:
    segments.add(0, Span(0, 10), rows_at(0, 10))
    segments.add(0, Span(10, 14), rows_at(10, 14))

    assert offsets(segments, Span(0, 14)) == list(range(14))
    assert offsets(segments, Span(3, 12)) == list(range(3, 12))
    assert offsets(segments, Span(12, 20)) == [12, 13]


def test_a_segment_that_is_read_in_several_tables_gives_each_row_once(
    segments: Segments, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments.add(0, Span(0, 10), rows_at(0, 10))
    monkeypatch.setattr("training.log.segments.ROWS_AT_ONCE", 3)

    assert [len(rows) for _, rows in segments.read(0, Span(0, 10))] == [3, 3, 3, 1]
    assert offsets(segments, Span(2, 8)) == list(range(2, 8))


def test_a_segment_takes_in_the_smaller_ones_before_it(segments: Segments) -> None:
    for start in range(8):
        segments.add(0, Span(start, start + 1), rows_at(start, start + 1))

    assert segments.held(0) == [Span(0, 8)]
    assert offsets(segments, Span(0, 8)) == list(range(8))


def test_partitions_and_topics_do_not_mix(objects: Objects, segments: Segments) -> None:
    segments.add(1, Span(0, 2), rows_at(0, 2))

    assert segments.held(0) == []
    assert Segments(objects, "other.interactions").held(1) == []


def test_two_writers_of_the_same_rows_agree(segments: Segments) -> None:
    for _ in range(2):
        segments.add(0, Span(0, 10), rows_at(0, 10))

    assert offsets(segments, Span(0, 10)) == list(range(10))


def test_other_rows_for_the_same_range_are_refused(segments: Segments) -> None:
    segments.add(0, Span(0, 10), rows_at(0, 10))

    with pytest.raises(ArtifactError, match="differs from Kafka's records"):
        segments.add(0, Span(0, 10), rows_at(0, 10).slice(1))


def test_writers_that_overlap_leave_each_offset_once(segments: Segments) -> None:
    segments.add(0, Span(0, 10), rows_at(0, 10))
    segments.add(0, Span(8, 12), rows_at(8, 12))
    segments.add(0, Span(5, 9), rows_at(5, 9))

    assert offsets(segments, Span(0, 12)) == list(range(12))


def test_what_another_run_takes_in_while_this_one_reads_is_read_from_there(
    segments: Segments,
) -> None:
    segments.add(0, Span(0, 8), rows_at(0, 8))
    segments.add(0, Span(8, 10), rows_at(8, 10))
    reading = segments.read(0, Span(0, 10))
    first = next(reading)[1]["offset"].to_pylist()
    segments.add(0, Span(10, 18), rows_at(10, 18))  # takes in both

    rest = [row for _, table in reading for row in table["offset"].to_pylist()]

    assert segments.held(0) == [Span(0, 18)]
    assert first + rest == list(range(10))


@pytest.mark.parametrize("payload", [b"", b"no parquet", b"PAR1" * 10])
def test_a_damaged_file_is_named(objects: Objects, segments: Segments, payload: bytes) -> None:
    name = f"{0:020d}-{5:020d}.parquet"
    objects.create(f"snapshots/reco.interactions/0/{name}", payload)

    with pytest.raises(ArtifactError, match=name):
        list(segments.read(0, Span(0, 5)))


def test_wiping_rows_out_does_not_change_what_is_learned(segments: Segments) -> None:
    users = [watch(1, 7, title="Heat"), watch("a", 8), rate(2, 7, 3.0)]
    segments.add(0, Span(0, 6), rows_of([*users, forget(1), forget("a"), forget("1")]))
    before = gathered(segments, Span(0, 6))

    segments.forget(0, Span(0, 6), before.forgotten[0], before.newly_met[0])

    after = gathered(segments, Span(0, 6))
    assert (before.newly_met[0].tolist(), after.newly_met[0].tolist()) == ([3, 4], [])
    assert [len(offsets) for offsets in (*before.forgotten, *after.forgotten)] == [2, 0]
    assert (before.unusable, before.interactions) == (after.unusable, after.interactions)
    assert before.cells.titles == after.cells.titles == ("Heat",)
    assert before.cells.values.keys() == after.cells.values.keys() == {"rate"}
    assert before.cells.values["rate"].tolist() == after.cells.values["rate"].tolist() == [3.0]
    (table,) = (table for _, table in segments.read(0, Span(0, 6)))
    assert table["user_int"].to_pylist() == [None, None, 2, 1, None, None]
    assert table["item_int"].to_pylist() == [7, None, 7, None, None, None]
    assert table["value"].to_pylist() == [None, None, 3.0, 1.0, 1.0, 0.0]
