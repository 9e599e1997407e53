"""Cells become matrices."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.training.builders import cells_of, rate, watch
from training.data.matrix import csr, only, popularity


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
