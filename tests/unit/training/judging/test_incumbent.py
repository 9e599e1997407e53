"""The incumbent in the rows of a new training set."""

from __future__ import annotations

import numpy as np

from registry.scoring.model_arrays import ModelArrays
from tests.unit.training.builders import cells_of, watch
from training.judging.incumbent import ABSENT, align

# users 7, "7" and 9; items 1, 2 and "2"; 7 has seen 2 and 1, "7" nothing, 9 has seen "2"
SERVED = ModelArrays(
    user_factors=np.array([[1, 0], [0, 0], [0, 2]], np.float32),
    item_factors=np.array([[1, 1], [2, 2], [3, 3]], np.float32),
    user_ids=[7, "7", 9],
    item_ids=[1, 2, "2"],
    seen_indptr=np.array([0, 2, 2, 3]),
    seen_items=np.array([1, 0, 2], np.int32),
    popularity=np.array([1.0, 1.0, 1.0]),
    titles=[None] * 3,
)


def test_rows_are_found_by_id_and_type() -> None:
    cells = cells_of(watch(7, "2"), watch("7", 2), watch(8, 1))

    aligned = align(SERVED, cells)

    assert cells.user_ids == (7, 8, "7")
    assert aligned.users.tolist() == [0, ABSENT, 1]
    assert cells.item_ids == (1, 2, "2")
    assert aligned.items.tolist() == [0, 1, 2]
    assert aligned.knows.tolist() == [True, False, False]  # of "7" it has learned nothing


def test_a_cell_is_known_if_the_incumbent_has_seen_it() -> None:
    cells = cells_of(
        watch(7, 1), watch(7, 2), watch(7, "2"), watch(9, 2), watch(9, "2"), watch(9, 5)
    )

    known = {
        (cells.user_ids[user], cells.item_ids[item])
        for user, item, seen in zip(cells.user, cells.item, align(SERVED, cells).known, strict=True)
        if seen
    }

    assert known == {(7, 1), (7, 2), (9, "2")}


def test_an_item_that_the_incumbent_lacks_scores_minus_infinity() -> None:
    aligned = align(SERVED, cells_of(watch(9, 5), watch(9, 2)))

    assert aligned.score(np.array([0])).tolist() == [[4.0, -np.inf]]


def test_items_that_are_gone_are_counted() -> None:
    aligned = align(SERVED, cells_of(watch(9, 5), watch(9, 2)))

    assert (aligned.missing_items, aligned.all_items) == (2, 3)


def test_of_nothing_everything_is_missing() -> None:
    aligned = align(SERVED, cells_of())

    assert aligned.missing_items == 3
    assert not len(aligned.known)
    assert not len(aligned.score(np.empty(0, np.int64)))
