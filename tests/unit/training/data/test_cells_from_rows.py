"""Events become cells: the latest of each kind counts, in any order of arrival."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ShapeError
from registry.weighing import weigh
from registry.wire.training_records.interactions import Interaction
from tests.unit.training.builders import (
    cells_of,
    forget,
    gather_rows,
    gathered,
    parameters,
    rate,
    rows_of,
    same_cells,
    watch,
)
from training.data import cells_from_rows
from training.data.cells_from_rows import gather
from training.data.matrix import csr
from training.log.rows import SCHEMA


def test_a_later_rating_of_an_item_replaces_the_earlier_one() -> None:
    cells = cells_of(rate(1, 7, 5.0, at=10), rate(1, 7, 2.0, at=20))

    assert weigh(cells.values, parameters().weights).tolist() == [2.0]


def test_a_rating_that_arrives_late_does_not_replace_a_newer_one() -> None:
    cells = cells_of(rate(1, 7, 2.0, at=20), rate(1, 7, 5.0, at=10))

    assert weigh(cells.values, parameters().weights).tolist() == [2.0]


def test_of_two_ratings_of_the_same_time_the_one_with_the_higher_offset_counts() -> None:
    assert cells_of(rate(1, 7, 1.0), rate(1, 7, 4.0)).values["rate"].tolist() == [4.0]


def test_of_two_ratings_of_the_same_time_in_two_partitions_the_higher_partition_counts() -> None:
    cells = gathered([rate(1, 7, 1.0)], [rate(1, 7, 4.0)]).cells

    assert cells.values["rate"].tolist() == [4.0]


def test_a_record_sent_twice_counts_once() -> None:
    once, twice = cells_of(watch(1, 7, at=5)), cells_of(watch(1, 7, at=5), watch(1, 7, at=5))

    assert same_cells(once, twice)
    assert once.values["watch"].tolist() == [1.0]


@each_cell(
    ("events", "mistyped", "of_nobody"),
    [
        ([watch("42", 7), forget(42)], 1, 0),
        ([watch(42, 7), forget("42"), forget("42")], 2, 0),
        ([watch("42", 7), forget(42), forget("42")], 0, 0),  # by both names, to be sure
        ([watch(42, 7), watch("42", 7), forget(42)], 1, 0),  # perhaps two users, perhaps one
        ([watch(42, 7), forget(42)], 0, 0),
        ([forget(42), watch(42, 7)], 0, 0),  # he came later
        ([watch("042", 7), forget(42)], 0, 1),
        ([watch(1, 7), forget(2), forget("x"), forget("x")], 0, 3),
        ([watch(1, 7), forget(2), forget("2")], 0, 2),
        ([watch("x", 7), forget("9" * 19), forget(2**63 - 1)], 0, 2),
    ],
)
def test_a_forget_that_meets_no_user_is_counted_and_takes_nothing_back(
    events: list[Interaction], mistyped: int, of_nobody: int
) -> None:
    found = gathered(events).unusable

    assert (found["forget_of_other_type"], found["forget_of_nobody"]) == (mistyped, of_nobody)


def test_a_forget_that_an_earlier_release_has_read_is_not_said_to_have_met_nobody() -> None:
    rows = rows_of([watch(1, 7), forget(2)])
    of_then = rows.set_column(7, SCHEMA.field("value"), pa.nulls(2, pa.float64()))

    assert gather_rows([(0, rows)]).unusable == {"forget_of_nobody": 1}
    assert gather_rows([(0, of_then)]).unusable == {}


def test_an_event_without_a_timestamp_has_the_time_of_its_record() -> None:
    rows = rows_of([Interaction(user_id=1, item_id=7, event="watch")], recorded_at=123.0)

    assert gather_rows([(0, rows)]).cells.time.tolist() == [123.0]


def test_ids_keep_their_type_and_integers_come_before_strings() -> None:
    cells = cells_of(watch("5", "b"), watch(5, 10), watch(-1, 9))

    assert cells.user_ids == (-1, 5, "5")
    assert cells.item_ids == (9, 10, "b")


def test_the_latest_title_of_an_item_is_kept() -> None:
    cells = cells_of(
        watch(1, 7, at=2, title="new"), watch(2, 7, at=1, title="old"), watch(1, 8, at=3)
    )

    assert cells.titles == ("new", None)


def test_only_kinds_that_have_a_weight_count_and_the_others_are_counted() -> None:
    events = [Interaction(user_id=1, item_id=7, event="view", value=9.0), watch(1, 8), watch(2, 9)]
    found = gather(lambda _columns: [(0, rows_of(events))], ["view", "play"])

    assert (found.cells.user_ids, found.cells.item_ids) == ((1,), (7,))
    assert {kind: column.tolist() for kind, column in found.cells.values.items()} == {"view": [9.0]}
    assert (found.interactions, dict(found.unusable)) == (1, {"no_weight": 2})


def test_a_forget_takes_back_events_without_a_weight_too() -> None:
    found = gathered([Interaction(user_id=1, item_id=7, event="view"), forget(1)])

    assert [offsets.tolist() for offsets in found.forgotten] == [[0]]
    assert dict(found.unusable) == {"forgotten": 1}


def test_no_events_make_an_empty_training_set() -> None:
    cells = gathered().cells

    assert cells.shape == (0, 0)
    assert weigh(cells.values, parameters().weights).shape == (0,)
    assert csr(cells, np.ones(0, np.bool_)).indptr.tolist() == [0]


def test_ids_far_apart_have_rows_in_their_order_too() -> None:
    far = [-(2**63), -5, 7, 8, 2**63 - 1]
    cells = cells_of(*(watch(user, item) for user in reversed(far) for item in far if item < user))

    assert cells.user_ids == tuple(far[1:])
    assert cells.item_ids == tuple(far[:-1])
    assert cells.user.tolist() == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    assert cells.item.tolist() == [0, 0, 1, 0, 1, 2, 0, 1, 2, 3]


def test_a_user_may_have_more_events_than_are_settled_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = [rate(user, item, float(item), at=-item) for user in range(4) for item in range(9)]
    whole = cells_of(*events, *events)

    monkeypatch.setattr(cells_from_rows, "ENTRIES_AT_ONCE", 5)

    assert same_cells(cells_of(*events, *events), whole)


def test_rows_that_were_not_there_at_the_first_reading_are_refused() -> None:
    few, many = rows_of([watch(1, 7)]), rows_of([watch(1, 7), watch(1, 7)])
    readings = iter([[(0, few)], [(0, many)]])

    with pytest.raises(ShapeError, match="the second pass found events"):
        gather(lambda _columns: next(readings))


# --- forgetting ---


def test_a_forget_takes_back_what_its_user_did_before_and_nothing_else() -> None:
    found = gathered([watch(1, 7, at=5), watch(2, 7, at=5), forget(1, at=6), watch(1, 8, at=7)])

    assert found.cells.user_ids == (1, 2)
    assert found.cells.item_ids == (7, 8)
    assert found.cells.user.tolist() == [0, 1]
    assert found.cells.item.tolist() == [1, 0]
    assert (found.interactions, found.unusable["forgotten"]) == (2, 1)
    assert [offsets.tolist() for offsets in found.forgotten] == [[0]]


def test_a_user_who_did_nothing_since_is_gone_and_so_is_an_item_that_nobody_else_had() -> None:
    assert gathered([watch(1, 7), watch(2, 8), forget(1)]).cells.item_ids == (8,)


@each_cell(
    ("partitions", "forgotten"),
    [
        ([[watch(1, 7, at=9), forget(1, at=5)]], True),  # stands before it, by a wrong clock
        ([[forget(1, at=5), watch(1, 7, at=4)]], True),  # an old file, ingested again
        ([[forget(1, at=5), watch(1, 7, at=5)]], False),
        ([[forget(1, at=5)], [watch(1, 7, at=4)]], True),
        ([[forget(1, at=5)], [watch(1, 7, at=6)]], False),
        ([[watch(1, 7, at=6)], [forget(1, at=5)]], False),
        ([[forget(2, at=5), watch(1, 7, at=4)]], False),
        ([[forget("1", at=5), watch(1, 7, at=4)]], False),
    ],
)
def test_what_counts_again_is_later_by_time_and_by_place(
    partitions: list[list[Interaction]], forgotten: bool
) -> None:
    assert (gathered(*partitions).cells.user_ids == ()) == forgotten


def test_a_forget_of_somebody_unknown_changes_nothing_and_is_counted() -> None:
    found = gathered([watch(1, 7), forget(99)])

    assert found.cells.user_ids == (1,)
    assert found.unusable == {"forget_of_nobody": 1}


# --- properties ---

ids = st.one_of(st.integers(-3, 3), st.sampled_from(["a", "b", "1"]))
events = st.builds(
    Interaction,
    user_id=ids,
    item_id=ids,
    event=st.sampled_from(["watch", "click", "rate", "forget"]),
    value=st.floats(0, 5, width=32),
    timestamp=st.integers(0, 3).map(float),
    title=st.sampled_from([None, "x", "y"]),
)
logs = st.lists(st.tuples(st.integers(0, 2), events), max_size=20)


@given(logs, st.integers(1, 7))
def test_how_a_partition_is_cut_into_tables_does_not_change_a_byte(
    log: list[tuple[int, Interaction]], size: int
) -> None:
    partitions = [[event for number, event in log if number == user] for user in range(3)]
    rows = [rows_of(events) for events in partitions]
    cut = [
        (number, table.slice(start, size))
        for number, table in enumerate(rows)
        for start in range(0, len(table), size)
    ]
    first, other = gather_rows(cut), gathered(*partitions)

    assert same_cells(first.cells, other.cells)
    assert (first.interactions, first.unusable) == (other.interactions, other.unusable)


@given(logs)
def test_the_fast_path_agrees_with_a_slow_readable_twin(
    log: list[tuple[int, Interaction]],
) -> None:
    latest: dict[tuple[object, object, str], tuple[float, int, int, float]] = {}
    for partition in range(3):
        events_there = [event for number, event in log if number == partition]
        for offset, event in enumerate(events_there):
            if event.event == "forget" or _forgotten(log, partition, offset, event):
                continue
            key = (_typed(event.user_id), _typed(event.item_id), event.event)
            found = (event.timestamp or 0.0, partition, offset, event.value or 0.0)
            latest[key] = max(latest.get(key, found), found)

    cells = gathered(*([e for n, e in log if n == user] for user in range(3))).cells
    fast = {
        (_typed(cells.user_ids[user]), _typed(cells.item_ids[item]), kind): value
        for kind, values in cells.values.items()
        for user, item, value in zip(cells.user, cells.item, values.tolist(), strict=True)
        if not np.isnan(value)
    }

    assert fast == {key: value for key, (*_, value) in latest.items()}


def _forgotten(
    log: list[tuple[int, Interaction]], partition: int, offset: int, event: Interaction
) -> bool:
    for user in range(3):
        for place, other in enumerate(other for number, other in log if number == user):
            if other.event != "forget" or _typed(other.user_id) != _typed(event.user_id):
                continue
            earlier = (event.timestamp or 0.0) < (other.timestamp or 0.0)
            if earlier or (user == partition and offset < place):
                return True
    return False


def _typed(first: object) -> tuple[str, object]:
    return type(first).__name__, first
