"""What a version keeps of its cells, so that later events merge as if training had seen them all.

Pure NumPy: knows cells and parameters; must not know files, nor how events are merged
(:mod:`registry.fold_in.merged_cells`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.fold_in.learned_cells import FurtherEvents, LearnedCells, narrowed
from registry.undo_events import NOTHING_UNDONE, UndoneEvents
from registry.versions.manifest import Parameters
from registry.wire.training_records.event_weights import kinds_weighed
from training.data.cell_weights import weighing_of
from training.data.matrix import Cells, Floats


def cells_to_keep(cells: Cells, parameters: Parameters) -> LearnedCells:
    """Return what merging needs of some cells; arrays are shared where they can be.

    Parameters
    ----------
    cells
        Of what is published.
    parameters
        As of :func:`training.data.cell_weights.weighing_of`.
    """
    kinds = kinds_weighed(parameters.weights)
    kind, value, further = _placed(cells, kinds)
    time, further_time = narrowed(cells.time), narrowed(further.time)
    if time.dtype != further_time.dtype:  # both have one dtype
        time, further_time = cells.time, further.time
    return LearnedCells(
        kinds,
        kind,
        value,
        time,
        further._replace(time=further_time),
        cells.newest,
        weighing_of(cells, parameters).bm25,
        cells.forgotten,
        _undone(cells, kinds),
    )


def _undone(cells: Cells, kinds: tuple[str, ...]) -> UndoneEvents:
    """Return what was taken back, by user."""
    parts = [
        UndoneEvents(
            undone.user.astype(np.int64),
            undone.item,
            np.full(len(undone.user), kinds.index(name), np.int8),
            undone.time,
        )
        for name, undone in cells.undone.items()
    ]
    joined: list[Any] = [
        np.concatenate(columns) for columns in zip(NOTHING_UNDONE, *parts, strict=True)
    ]
    order = np.argsort(joined[0], kind="stable")
    return UndoneEvents(*(column[order] for column in joined))


def _placed(
    cells: Cells, kinds: tuple[str, ...]
) -> tuple[NDArray[np.int8], NDArray[np.float32], FurtherEvents]:
    """Return kind and value of the latest event of each cell, and the events of other kinds."""
    if len(cells.values) == 1:
        ((name, value),) = cells.values.items()
        return np.full(len(value), kinds.index(name), np.int8), value, _joined([])
    kind = np.full(len(cells.item), -1, np.int8)
    value = np.zeros(len(cells.item), np.float32)
    rest: list[FurtherEvents] = []
    for code, name in enumerate(kinds):
        if name not in cells.values:
            continue
        column = cells.values[name]
        latest = ~np.isnan(column)
        older = cells.older.get(name)
        if older is not None:
            latest[older.cell] = False
            rest.append(_further(older.cell, code, column, older.time))
        taken = latest & (kind >= 0)  # of the same time as another kind
        if taken.any():
            at = np.flatnonzero(taken)
            rest.append(_further(at, code, column, cells.time[at]))
            latest &= ~taken
        kind[latest], value[latest] = code, column[latest]
    return kind, value, _joined(rest)


def _further(
    cell: NDArray[np.int64], code: int, column: NDArray[np.float32], time: Floats
) -> FurtherEvents:
    return FurtherEvents(cell, np.full(len(cell), code, np.int8), column[cell], time)


def _joined(parts: list[FurtherEvents]) -> FurtherEvents:
    none = FurtherEvents(
        np.empty(0, np.int64), np.empty(0, np.int8), np.empty(0, np.float32), np.empty(0)
    )
    joined: list[Any] = [np.concatenate(columns) for columns in zip(none, *parts, strict=True)]
    order = np.argsort(joined[0], kind="stable")
    return FurtherEvents(*(column[order] for column in joined))
