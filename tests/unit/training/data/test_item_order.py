"""Item rows in another order are the same cells; a version's are in order of falling norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.unit.training.builders import cells_of, rate, watch
from training.data.item_order import by_falling_norm, by_ids, reordered
from training.data.matrix import Cells, Factors

CELLS = cells_of(
    watch(1, "a", at=5),
    rate(1, "a", 4.0, at=3),
    watch(1, "b", at=1, title="Bee"),
    rate(1, "c", 2.0, at=9),
    watch(1, "c", at=2),
    watch(2, "c", at=4),
    watch(3, "a", at=6),
    watch(3, "b", at=7),
)


def contents(cells: Cells) -> set[Any]:
    """Everything that the cells say, by ids."""
    users = [cells.user_ids[row] for row in cells.user]
    items = [cells.item_ids[row] for row in cells.item]
    found: set[Any] = set()
    for kind, column in cells.values.items():
        found |= set(zip(users, items, [kind] * len(users), map(str, column), strict=True))
    for kind, times in cells.older.items():
        found |= {
            (users[cell], items[cell], kind, time)
            for cell, time in zip(times.cell.tolist(), times.time.tolist(), strict=True)
        }
    return found | set(zip(users, items, cells.time.tolist(), strict=True))


def test_other_rows_hold_the_same_cells() -> None:
    assert CELLS.older
    moved = reordered(CELLS, np.array([2, 0, 1]))

    assert moved.item_ids == ("c", "a", "b")
    assert moved.titles == (None, None, "Bee")
    assert contents(moved) == contents(CELLS)
    for start, end in zip(moved.indptr, moved.indptr[1:], strict=False):
        assert (np.diff(moved.item[start:end]) > 0).all()
    for times in moved.older.values():
        assert (np.diff(times.cell) > 0).all()


def test_items_come_by_falling_norm_and_equal_ones_by_id() -> None:
    items = np.array([[1, 0], [0, 3], [1, 0]], np.float32)
    cells, factors = by_falling_norm(CELLS, Factors(np.ones((3, 2), np.float32), items))

    assert cells.item_ids == ("b", "a", "c")
    assert factors.items.tolist() == [[0, 3], [1, 0], [1, 0]]


def test_items_come_in_the_order_of_given_ids() -> None:
    items = np.array([[1, 0], [0, 3], [1, 0]], np.float32)
    cells, factors = by_ids(CELLS, Factors(np.ones((3, 2), np.float32), items), ["c", "b", "a"])

    assert cells.item_ids == ("c", "b", "a")
    assert factors.items.tolist() == [[1, 0], [0, 3], [1, 0]]
    assert contents(cells) == contents(CELLS)
