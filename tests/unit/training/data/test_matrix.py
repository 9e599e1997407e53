"""Cells become weights and matrices: what counts, and how much."""

from __future__ import annotations

import numpy as np
import pytest

from registry.wire.interactions import Interaction
from tests.unit.training.builders import cells_of, gathered, parameters, rate, watch
from training.data.matrix import (
    DAY_SECONDS,
    KINDS,
    Cells,
    Values,
    csr,
    only,
    popularity,
    trim,
    weigh,
    weights,
)


def one_cell(*told: float | None) -> Values:
    return {
        kind: np.array([np.nan if one is None else one], np.float32)
        for kind, one in zip(KINDS, told, strict=True)
    }


def test_kinds_of_events_add_up() -> None:
    cells = cells_of(watch(1, 7), Interaction(user_id=1, item_id=7, event="click"), rate(1, 7, 4.0))

    assert weigh(cells.values, parameters(rating_floor=1.0)).tolist() == [1.0 + 0.5 + 3.0]


@pytest.mark.parametrize(
    ("values", "weight"),
    [
        (one_cell(1, None, None), 2.0),
        (one_cell(3, None, None), 6.0),
        (one_cell(None, 1, None), 0.25),
        (one_cell(None, None, 5), 3.0),
        (one_cell(None, None, 2), 0.0),
        (one_cell(None, None, 0.5), 0.0),
        (one_cell(1, None, 0.5), 0.5),
        (one_cell(-1, None, None), 0.0),
    ],
)
def test_the_mapping_to_weights_is_as_documented(values: Values, weight: float) -> None:
    told = parameters(weight_watch=2.0, weight_click=0.25, rating_floor=2.0)

    assert weigh(values, told).tolist() == [weight]


def test_a_rating_at_the_floor_teaches_nothing_but_counts_as_seen() -> None:
    cells = cells_of(rate(1, 7, 2.0), rate(1, 8, 5.0))
    teaches = weigh(cells.values, parameters(rating_floor=2.0)) > 0

    assert csr(cells, teaches).indices.tolist() == [1]
    assert csr(cells, np.ones(2, np.bool_)).indices.tolist() == [0, 1]


def test_the_matrix_has_the_rows_of_all_users_and_the_columns_of_all_items() -> None:
    cells = cells_of(watch(1, 7), watch(2, 8), watch(2, 9), watch(3, 9))
    matrix = csr(cells, np.array([False, True, True, False]), np.arange(4, dtype=np.float32))

    assert matrix.indptr.tolist() == [0, 0, 2, 2]
    assert matrix.indices.tolist() == [1, 2]
    assert matrix.values.tolist() == [1.0, 2.0]
    assert matrix.shape == (3, 3)


def test_a_matrix_of_all_cells_takes_no_memory_of_its_own() -> None:
    cells = cells_of(watch(1, 7), watch(2, 8), watch(2, 9))
    matrix = csr(cells, np.ones(3, np.bool_))

    assert matrix.indices is cells.item
    assert matrix.indptr is cells.indptr
    assert matrix.values.tolist() == [1.0] * 3
    assert matrix.values.strides == (0,)


def test_some_cells_keep_the_rows_of_all_users_and_items() -> None:
    cells = cells_of(watch(1, 7, at=1), rate(2, 8, 4.0, at=2), rate(2, 9, 5.0, at=3))
    some = only(cells, np.array([False, False, True]))

    assert some.shape == cells.shape
    assert (some.user.tolist(), some.item.tolist(), some.time.tolist()) == ([1], [2], [3.0])
    assert some.values["rate"].tolist() == [5.0]


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_the_blocks_that_cells_are_looked_at_in_do_not_change_what_is_chosen(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = cells_of(*(watch(user, item) for user in (1, 2, 3) for item in range(user)))
    monkeypatch.setattr("training.data.matrix.ENTRIES_AT_ONCE", at_once)

    assert only(cells, cells.item != 0).indptr.tolist() == [0, 0, 1, 3]


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
