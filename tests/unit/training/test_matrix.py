"""Events become cells: the latest of each kind counts, in any order of arrival."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.records import Interaction
from tests.unit.training.builders import cells_of, forget, parameters, rate, rows_of, watch
from training.matrix import (
    DAY_SECONDS,
    Cells,
    Gathered,
    csr,
    gather,
    popularity,
    trim,
    weigh,
    weights,
)


def gathered(*partitions: list[Interaction]) -> Gathered:
    """Return what comes of the events of each partition."""
    return gather((number, rows_of(events)) for number, events in enumerate(partitions))


def only(*columns: float | None) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([[np.nan if one is None else one for one in columns]], np.float32)


def test_a_later_rating_of_an_item_replaces_the_earlier_one() -> None:
    cells = cells_of(rate(1, 7, 5.0, at=10), rate(1, 7, 2.0, at=20))

    assert weigh(cells.values, parameters()).tolist() == [2.0]


def test_a_rating_that_arrives_late_does_not_replace_a_newer_one() -> None:
    cells = cells_of(rate(1, 7, 2.0, at=20), rate(1, 7, 5.0, at=10))

    assert weigh(cells.values, parameters()).tolist() == [2.0]


def test_of_two_ratings_of_the_same_time_the_one_with_the_higher_offset_counts() -> None:
    assert cells_of(rate(1, 7, 1.0), rate(1, 7, 4.0)).values[0, 2] == 4.0


def test_of_two_ratings_of_the_same_time_in_two_partitions_the_higher_partition_counts() -> None:
    cells = gathered([rate(1, 7, 1.0)], [rate(1, 7, 4.0)]).cells

    assert cells.values[0, 2] == 4.0


def test_a_record_sent_twice_counts_once() -> None:
    once, twice = cells_of(watch(1, 7, at=5)), cells_of(watch(1, 7, at=5), watch(1, 7, at=5))

    assert np.array_equal(once.values, twice.values, equal_nan=True)


def test_kinds_of_events_add_up() -> None:
    cells = cells_of(watch(1, 7), Interaction(user_id=1, item_id=7, event="click"), rate(1, 7, 4.0))

    assert weigh(cells.values, parameters(rating_floor=1.0)).tolist() == [1.0 + 0.5 + 3.0]


@pytest.mark.parametrize(
    ("values", "weight"),
    [
        (only(1, None, None), 2.0),
        (only(3, None, None), 6.0),
        (only(None, 1, None), 0.25),
        (only(None, None, 5), 3.0),
        (only(None, None, 2), 0.0),
        (only(None, None, 0.5), 0.0),
        (only(1, None, 0.5), 0.5),
        (only(-1, None, None), 0.0),
    ],
)
def test_the_mapping_to_weights_is_as_documented(values: np.ndarray, weight: float) -> None:  # type: ignore[type-arg]
    told = parameters(weight_watch=2.0, weight_click=0.25, rating_floor=2.0)

    assert weigh(values, told).tolist() == [weight]


def test_a_rating_at_the_floor_teaches_nothing_but_counts_as_seen() -> None:
    cells = cells_of(rate(1, 7, 2.0), rate(1, 8, 5.0))
    teaches = weigh(cells.values, parameters(rating_floor=2.0)) > 0

    assert csr(cells, teaches).indices.tolist() == [1]
    assert csr(cells, np.ones(2, np.bool_)).indices.tolist() == [0, 1]


def test_an_event_without_a_timestamp_has_the_time_of_its_record() -> None:
    rows = rows_of([Interaction(user_id=1, item_id=7, event="watch")], recorded_at=123.0)

    assert gather([(0, rows)]).cells.time.tolist() == [123.0]


def test_ids_keep_their_type_and_integers_come_before_strings() -> None:
    cells = cells_of(watch("5", "b"), watch(5, 10), watch(-1, 9))

    assert cells.user_ids == (-1, 5, "5")
    assert cells.item_ids == (9, 10, "b")


def test_the_latest_title_of_an_item_is_kept() -> None:
    cells = cells_of(
        watch(1, 7, at=2, title="new"), watch(2, 7, at=1, title="old"), watch(1, 8, at=3)
    )

    assert cells.titles == ("new", None)


def test_no_events_make_an_empty_training_set() -> None:
    cells = gather([]).cells

    assert cells.shape == (0, 0)
    assert weigh(cells.values, parameters()).shape == (0,)
    assert csr(cells, np.ones(0, np.bool_)).indptr.tolist() == [0]


def test_the_matrix_has_the_rows_of_all_users_and_the_columns_of_all_items() -> None:
    cells = cells_of(watch(1, 7), watch(2, 8), watch(2, 9), watch(3, 9))
    matrix = csr(cells, np.array([False, True, True, False]), np.arange(4, dtype=np.float32))

    assert matrix.indptr.tolist() == [0, 0, 2, 2]
    assert matrix.indices.tolist() == [1, 2]
    assert matrix.values.tolist() == [1.0, 2.0]
    assert matrix.shape == (3, 3)


def test_popularity_counts_the_users_of_each_item() -> None:
    cells = cells_of(watch(1, 7), watch(1, 7, at=9), watch(2, 7), watch(2, 8))

    assert popularity(cells, np.ones(3, np.bool_)).tolist() == [2.0, 1.0]


# --- age ---


def aged(*days: float) -> Cells:
    """Return cells of one user, each of a weight of 1 and so many days old."""
    now = 100 * DAY_SECONDS
    return cells_of(*(watch(1, item, at=now - age * DAY_SECONDS) for item, age in enumerate(days)))


def test_an_interaction_as_old_as_the_half_life_weighs_half() -> None:
    told = parameters(half_life_days=10.0)

    assert weights(aged(0, 10, 20), told).tolist() == [1.0, 0.5, 0.25]


def test_what_is_older_than_the_window_teaches_nothing_but_counts_as_seen() -> None:
    cells = aged(0, 10, 10.5)
    weight = weights(cells, parameters(window_days=10.0))

    assert weight.tolist() == [1.0, 1.0, 0.0]
    assert csr(cells, np.ones(3, np.bool_)).indices.tolist() == [0, 1, 2]


def test_age_is_counted_from_the_newest_event_of_all_not_from_the_clock() -> None:
    cells = gathered([watch(1, 1, at=0.0)], [watch(2, 1, at=10 * DAY_SECONDS)]).cells

    assert weights(cells, parameters(half_life_days=10.0)).tolist() == [0.5, 1.0]


def test_without_window_and_half_life_age_does_not_count() -> None:
    assert weights(aged(0, 90), parameters()).tolist() == [1.0, 1.0]


# --- minimums ---


def test_users_and_items_below_their_minimum_are_left_out_until_all_have_enough() -> None:
    # item 9 has one user; without it, user 3 has one item; without that one, item 8 has one user
    cells = cells_of(
        *(watch(user, item) for user in (1, 2) for item in (6, 7)),
        *(watch(1, 8), watch(3, 8), watch(3, 9)),
    )
    kept = trim(cells, parameters(min_user_interactions=2, min_item_interactions=2))

    assert (kept.user_ids, kept.item_ids) == ((1, 2), (6, 7))
    assert (kept.user.tolist(), kept.item.tolist()) == ([0, 0, 1, 1], [0, 1, 0, 1])
    assert kept.newest == cells.newest


def test_only_what_teaches_counts_towards_a_minimum_and_what_does_not_stays_seen() -> None:
    cells = cells_of(rate(1, 7, 5.0), rate(1, 8, 1.0), rate(2, 8, 5.0), rate(3, 7, 1.0))
    kept = trim(cells, parameters(rating_floor=2.0, min_user_interactions=1))

    assert kept.user_ids == (1, 2)
    assert kept.item[kept.user == 0].tolist() == [0, 1]


def test_without_minimums_all_cells_are_kept() -> None:
    cells = cells_of(rate(1, 7, 0.0))

    assert trim(cells, parameters()) is cells


def test_a_minimum_that_nobody_reaches_leaves_nothing() -> None:
    assert trim(cells_of(watch(1, 7)), parameters(min_user_interactions=2)).shape == (0, 0)


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


@pytest.mark.parametrize(
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


def test_a_forget_of_somebody_unknown_changes_nothing() -> None:
    found = gathered([watch(1, 7), forget(99)])

    assert found.cells.user_ids == (1,)
    assert not found.unusable


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


def same(one: Cells, other: Cells) -> bool:
    columns = ("user", "item", "time", "values")
    return (one.user_ids, one.item_ids, one.titles) == (
        other.user_ids,
        other.item_ids,
        other.titles,
    ) and all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in columns)


@given(logs, st.integers(1, 7))
def test_how_a_partition_is_cut_into_tables_does_not_change_a_byte(
    log: list[tuple[int, Interaction]], size: int
) -> None:
    partitions = [[event for number, event in log if number == one] for one in range(3)]
    rows = [rows_of(events) for events in partitions]
    cut = (
        (number, table.slice(start, size))
        for number, table in enumerate(rows)
        for start in range(0, len(table), size)
    )

    assert same(gather(cut).cells, gathered(*partitions).cells)


@given(logs)
def test_the_fast_path_agrees_with_a_slow_readable_twin(
    log: list[tuple[int, Interaction]],
) -> None:
    latest: dict[tuple[object, object, str], tuple[float, int, int, float]] = {}
    for partition in range(3):
        told = [event for number, event in log if number == partition]
        for offset, event in enumerate(told):
            if event.event == "forget" or _forgotten(log, partition, offset, event):
                continue
            key = (_typed(event.user_id), _typed(event.item_id), event.event)
            found = (event.timestamp or 0.0, partition, offset, event.value or 0.0)
            latest[key] = max(latest.get(key, found), found)

    cells = gathered(*([e for n, e in log if n == one] for one in range(3))).cells
    fast = {
        (_typed(cells.user_ids[user]), _typed(cells.item_ids[item]), kind): value
        for user, item, values in zip(cells.user, cells.item, cells.values, strict=True)
        for kind, value in zip(("watch", "click", "rate"), values.tolist(), strict=True)
        if not np.isnan(value)
    }

    assert fast == {key: value for key, (*_, value) in latest.items()}


def _forgotten(
    log: list[tuple[int, Interaction]], partition: int, offset: int, event: Interaction
) -> bool:
    for one in range(3):
        for place, other in enumerate(other for number, other in log if number == one):
            if other.event != "forget" or _typed(other.user_id) != _typed(event.user_id):
                continue
            earlier = (event.timestamp or 0.0) < (other.timestamp or 0.0)
            if earlier or (one == partition and offset < place):
                return True
    return False


def _typed(one: object) -> tuple[str, object]:
    return type(one).__name__, one
