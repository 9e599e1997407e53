"""The order of a version's item rows: by falling norm of their factors.

Pure. `registry.scoring.tile_scan` stops where the norms of all that follows are too small, and so
reads the less, the earlier the large ones come. Equal norms go by id, as the rows did before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from registry.ids import ItemId
from training.data.matrix import Cells, Factors, OlderTimes


def by_falling_norm(cells: Cells, factors: Factors) -> tuple[Cells, Factors]:
    """Return cells and factors with the rows of the items in order of their norms."""
    norms = np.linalg.norm(factors.items.astype(np.float64), axis=1)
    return _ordered(cells, factors, np.argsort(-norms, kind="stable"))


def by_ids(cells: Cells, factors: Factors, item_ids: Sequence[ItemId]) -> tuple[Cells, Factors]:
    """Return cells and factors with the rows of the items as `item_ids` has them: the same items.

    Where factors differ in their last digits, near-equal norms are in another order.
    """
    row_of = {item_id: row for row, item_id in enumerate(cells.item_ids)}
    return _ordered(cells, factors, np.array([row_of[item_id] for item_id in item_ids], np.intp))


def reordered(cells: Cells, order: NDArray[np.intp]) -> Cells:
    """Return the cells with ``order[n]`` as the n-th item row.

    Parameters
    ----------
    cells
        All cells.
    order
        (items,) each item row once.
    """
    row_of = np.empty(len(order), np.int32)
    row_of[order] = np.arange(len(order), dtype=np.int32)
    item = row_of[cells.item]
    moved = np.argsort(cells.user * np.int64(len(order)) + item)
    place_of = np.empty(len(moved), np.int64)
    place_of[moved] = np.arange(len(moved))

    def moved_times(times: OlderTimes) -> OlderTimes:
        cell = place_of[times.cell]
        ascending = np.argsort(cell)
        return OlderTimes(cell[ascending], times.time[ascending])

    return replace(
        cells,
        item_ids=tuple(cells.item_ids[row] for row in order.tolist()),
        titles=tuple(cells.titles[row] for row in order.tolist()),
        item=item[moved],
        time=cells.time[moved],
        values={kind: column[moved] for kind, column in cells.values.items()},
        older={kind: moved_times(times) for kind, times in cells.older.items()},
        undone={
            kind: undone._replace(item=row_of[undone.item]) for kind, undone in cells.undone.items()
        },
    )


def _ordered(cells: Cells, factors: Factors, order: NDArray[np.intp]) -> tuple[Cells, Factors]:
    return reordered(cells, order), factors._replace(items=factors.items[order])
