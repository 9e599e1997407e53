"""Rows say what the records said, and why one teaches nothing."""

from __future__ import annotations

import pytest
from harness.cells import each_cell

from registry.wire.codec import encode
from registry.wire.training_records.interactions import FUTURE_SECONDS, LARGEST_VALUE, Interaction
from tests.unit.training.builders import forget, rate, watch
from training.log.rows import SCHEMA, table_of

NOW = 1e9


def row_of(payload: bytes | None) -> dict[str, object]:
    (row,) = table_of([5], [NOW], [payload]).to_pylist()
    return dict(row)


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


def test_an_event_of_any_kind_is_kept_for_a_weight_that_it_may_get_later() -> None:
    row = row_of(b'{"user_id": 1, "item_id": 2, "event": "view", "value": 3}')

    assert (row["event"], row["value"], row["unusable"]) == ("view", 3.0, None)


def test_a_forget_needs_no_item() -> None:
    row = row_of(encode(forget(1)))

    assert (row["event"], row["item_int"], row["unusable"]) == ("forget", None, None)


@each_cell(
    ("payload", "code"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"{", "malformed"),
        (b'{"user_id":' + b"[" * 5000, "invalid"),
        (b'{"user_id": 1, "event": "watch"}', "invalid"),
        (b'{"user_id": 1.5, "item_id": 2, "event": "watch"}', "invalid"),
        (b'{"event": "view"}', "invalid"),
        (b'{"user_id": 1, "item_id": 2, "event": "a view"}', "invalid"),
        (b'{"user_id": 1, "item_id": 2, "event": 5}', "invalid"),
        (b'{"user_id": 1, "item_id": 2}', "invalid"),
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


@each_cell(
    "event",
    [
        *(watch(value_tried, 7) for value_tried in (-(2**63), 2**63 - 1, 2**63)),
        *(watch(1, value_tried) for value_tried in (-(2**63) - 1, "", "\0", "5")),
        *(
            watch(1, 7, value=value_tried)
            for value_tried in (0.0, LARGEST_VALUE, -LARGEST_VALUE, 1.1e6)
        ),
        *(
            watch(1, 7, at=NOW + value_tried)
            for value_tried in (-1e300, FUTURE_SECONDS, FUTURE_SECONDS + 1)
        ),
        forget("a"),
    ],
)
def test_a_record_has_the_same_row_whether_its_neighbours_are_sound_or_not(
    event: Interaction,
) -> None:
    payload, rows = encode(event), []
    for neighbour in (encode(watch(1, 7)), b"{"):
        table = table_of([0, 1], [NOW] * 2, [payload, neighbour])
        rows.append(table.to_pylist()[0])

    assert rows[0] == rows[1]


def test_an_interaction_without_an_item_has_the_same_row_alone_or_among_sound_ones() -> None:
    payload = b'{"user_id": 1, "event": "watch"}'
    rows = table_of([0, 1], [NOW] * 2, [payload, encode(watch(1, 7))]).to_pylist()

    assert (rows[0]["unusable"], rows[1]["unusable"]) == ("invalid", None)


def test_one_bad_record_does_not_change_its_neighbours() -> None:
    good = [encode(watch("a", 1)), encode(rate(2, "b", 3.0, title="B"))]
    mixed = table_of([0, 1, 2], [NOW] * 3, [good[0], b"{", good[1]])

    assert mixed.take([0, 2]).equals(table_of([0, 2], [NOW] * 2, good))


def test_an_interaction_without_an_item_is_refused_where_it_is_made() -> None:
    with pytest.raises(ValueError, match="needs an `item_id`"):
        Interaction(user_id=1, event="watch")
