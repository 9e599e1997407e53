"""Events become cells: the latest of each kind counts, in any order of arrival."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import RecordError
from registry.records import Interaction
from tests.unit.training.builders import cells_of, parameters, rate, watch
from training.matrix import LARGEST_VALUE, Cells, EventLog, csr, popularity, weigh


def only(*columns: float | None) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([[np.nan if one is None else one for one in columns]])


def test_a_later_rating_of_an_item_replaces_the_earlier_one() -> None:
    cells = cells_of(rate(1, 7, 5.0, at=10), rate(1, 7, 2.0, at=20))

    assert weigh(cells.values, parameters()).tolist() == [2.0]


def test_a_rating_that_arrives_late_does_not_replace_a_newer_one() -> None:
    cells = cells_of(rate(1, 7, 2.0, at=20), rate(1, 7, 5.0, at=10))

    assert weigh(cells.values, parameters()).tolist() == [2.0]


def test_of_two_ratings_of_the_same_time_the_one_with_the_higher_offset_counts() -> None:
    assert cells_of(rate(1, 7, 1.0), rate(1, 7, 4.0)).values[0, 2] == 4.0


@pytest.mark.parametrize("later", [(0, 1), (1, 0)])
def test_events_of_the_same_time_are_told_apart_by_place_not_by_arrival(
    later: tuple[int, int],
) -> None:
    log = EventLog()
    log.add(rate(1, 7, 4.0), 0.0, *later)
    log.add(rate(1, 7, 1.0), 0.0, 0, 0)

    assert log.cells().values[0, 2] == 4.0


def test_a_record_sent_twice_counts_once() -> None:
    once, twice = cells_of(watch(1, 7, at=5)), cells_of(watch(1, 7, at=5), watch(1, 7, at=5))

    assert np.array_equal(once.values, twice.values, equal_nan=True)


def test_kinds_of_events_add_up() -> None:
    cells = cells_of(watch(1, 7), Interaction(1, 7, "click"), rate(1, 7, 4.0))

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
    log = EventLog()
    log.add(Interaction(1, 7, "watch"), 123.0, 0, 0)

    assert log.cells().time.tolist() == [123.0]


def test_ids_keep_their_type_and_integers_come_before_strings() -> None:
    cells = cells_of(watch("5", "b"), watch(5, 10), watch(-1, 9))

    assert cells.user_ids == (-1, 5, "5")
    assert cells.item_ids == (9, 10, "b")


def test_the_latest_title_of_an_item_is_kept() -> None:
    cells = cells_of(
        watch(1, 7, at=2, title="new"), watch(2, 7, at=1, title="old"), watch(1, 8, at=3)
    )

    assert cells.titles == ("new", None)


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (Interaction(1, 7, "rate"), "no_rating"),
        (rate(1, 7, LARGEST_VALUE * 2), "out_of_range"),
        (watch(1, 7, value=-LARGEST_VALUE * 2), "out_of_range"),
    ],
)
def test_an_event_that_cannot_be_weighed_is_refused_and_leaves_no_trace(
    event: Interaction, code: str
) -> None:
    log = EventLog()

    with pytest.raises(RecordError) as refused:
        log.add(event, 0.0, 0, 0)

    assert refused.value.code == code
    assert log.cells().shape == (0, 0)


def test_no_events_make_an_empty_training_set() -> None:
    cells = EventLog().cells()

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


ids = st.one_of(st.integers(-3, 3), st.sampled_from(["a", "b", "1"]))
events = st.builds(
    Interaction,
    user_id=ids,
    item_id=ids,
    event=st.sampled_from(["watch", "click", "rate"]),
    value=st.floats(0, 5),
    timestamp=st.integers(0, 3).map(float),
    title=st.sampled_from([None, "x", "y"]),
)


def same(one: Cells, other: Cells) -> bool:
    columns = ("user", "item", "time", "values")
    return (one.user_ids, one.item_ids, one.titles) == (
        other.user_ids,
        other.item_ids,
        other.titles,
    ) and all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in columns)


@given(st.lists(st.tuples(events, st.integers(0, 2)), max_size=30), st.randoms())
def test_the_order_in_which_partitions_arrive_does_not_change_a_byte(
    records: list[tuple[Interaction, int]], random: object
) -> None:
    placed = [(event, 0.0, partition, place) for place, (event, partition) in enumerate(records)]
    shuffled = list(placed)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = EventLog(), EventLog()
    for record in placed:
        one.add(*record)
    for record in shuffled:
        other.add(*record)

    assert same(one.cells(), other.cells())


@given(st.lists(events, max_size=30))
def test_the_fast_path_agrees_with_a_slow_readable_twin(told: list[Interaction]) -> None:
    latest: dict[tuple[object, object, str], tuple[float, int, float]] = {}
    for offset, event in enumerate(told):
        key = (_typed(event.user_id), _typed(event.item_id), event.event)
        found = (event.timestamp or 0.0, offset, event.value or 0.0)
        latest[key] = max(latest.get(key, found), found)

    cells = cells_of(*told)
    fast = {
        (_typed(cells.user_ids[user]), _typed(cells.item_ids[item]), kind): value
        for user, item, values in zip(cells.user, cells.item, cells.values, strict=True)
        for kind, value in zip(("watch", "click", "rate"), values.tolist(), strict=True)
        if not np.isnan(value)
    }

    assert fast == {key: value for key, (_, _, value) in latest.items()}


def _typed(one: object) -> tuple[str, object]:
    return type(one).__name__, one
