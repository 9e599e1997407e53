"""Segments: rows say what the records said, and the files agree whoever writes them."""

from __future__ import annotations

import uuid

import numpy as np
import pyarrow as pa
import pytest

from registry.errors import ArtifactError
from registry.objects import Objects
from registry.records import Interaction, encode
from tests.unit.training.builders import forget, rate, rows_of, watch
from training.matrix import gather
from training.ranges import Span
from training.segments import FUTURE_SECONDS, LARGEST_VALUE, SCHEMA, Segments, table_of

NOW = 1e9


def row_of(payload: bytes | None) -> dict[str, object]:
    (row,) = table_of([5], [NOW], [payload]).to_pylist()
    return dict(row)


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


def test_a_row_holds_what_the_record_says_and_ids_keep_their_type() -> None:
    row = row_of(encode(rate("5", 7, 4.5, at=3.0, title="Heat")))

    assert row == {
        "offset": 5,
        "at": NOW,
        "user_int": None,
        "user_text": "5",
        "item_int": 7,
        "item_text": None,
        "event": "rate",
        "value": 4.5,
        "timestamp": 3.0,
        "title": "Heat",
        "unusable": None,
    }


def test_a_forget_needs_no_item() -> None:
    row = row_of(encode(forget(1)))

    assert (row["event"], row["item_int"], row["unusable"]) == ("forget", None, None)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"{", "malformed"),
        (b'{"user_id":' + b"[" * 5000, "invalid"),
        (b'{"user_id": 1, "event": "watch"}', "invalid"),
        (b'{"user_id": 1.5, "item_id": 2, "event": "watch"}', "invalid"),
        (b'{"user_id": 1, "item_id": 2, "event": "rate"}', "no_rating"),
        (encode(rate(1, 7, LARGEST_VALUE * 2)), "out_of_range"),
        (encode(watch(1, 7, value=-LARGEST_VALUE * 2)), "out_of_range"),
        (encode(watch(2**70, 7)), "out_of_range"),
        (encode(watch(1, -(2**70))), "out_of_range"),
        (encode(watch(1, 7, at=NOW * 1000)), "out_of_range"),  # milliseconds
        (encode(watch(1, 7, at=NOW + FUTURE_SECONDS)), None),
        (encode(rate(1, 7, -LARGEST_VALUE)), None),
    ],
)
def test_a_record_that_cannot_be_used_is_a_row_that_says_why_and_no_more(
    payload: bytes | None, code: str | None
) -> None:
    row = row_of(payload)

    assert row["unusable"] == code
    assert (row["event"] is None) == (code is not None)
    assert code is None or {row[name] for name in SCHEMA.names[2:-1]} == {None}


def test_one_bad_record_does_not_change_its_neighbours() -> None:
    good = [encode(watch("a", 1)), encode(rate(2, "b", 3.0, title="B"))]
    mixed = table_of([0, 1, 2], [NOW] * 3, [good[0], b"{", good[1]])

    assert mixed.take([0, 2]).equals(table_of([0, 2], [NOW] * 2, good))


def test_what_was_added_is_read_again_whole_or_in_part(segments: Segments) -> None:
    segments.add(0, Span(0, 10), rows_at(0, 10))
    segments.add(0, Span(10, 14), rows_at(10, 14))

    assert offsets(segments, Span(0, 14)) == list(range(14))
    assert offsets(segments, Span(3, 12)) == list(range(3, 12))
    assert offsets(segments, Span(12, 20)) == [12, 13]


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

    with pytest.raises(ArtifactError, match="other records than Kafka's"):
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
    told = [watch(1, 7, title="Heat"), watch("a", 8), rate(2, 7, 3.0), forget(1), forget("a")]
    segments.add(0, Span(0, 5), rows_of(told))
    before = gather((0, table) for _, table in segments.read(0, Span(0, 5)))

    segments.forget(0, Span(0, 5), before.forgotten[0])

    after = gather((0, table) for _, table in segments.read(0, Span(0, 5)))
    assert [len(one) for one in (*before.forgotten, *after.forgotten)] == [2, 0]
    assert (before.unusable, before.interactions) == (after.unusable, after.interactions)
    assert before.cells.titles == after.cells.titles == ("Heat",)
    assert np.array_equal(before.cells.values, after.cells.values, equal_nan=True)
    (table,) = (table for _, table in segments.read(0, Span(0, 5)))
    assert table["user_int"].to_pylist() == [None, None, 2, 1, None]
    assert table["item_int"].to_pylist() == [7, None, 7, None, None]


def test_an_interaction_without_an_item_is_refused_where_it_is_made() -> None:
    with pytest.raises(ValueError, match="needs an `item_id`"):
        Interaction(user_id=1, event="watch")
