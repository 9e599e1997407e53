"""How much each cell of a snapshot counts: `registry.weighing`, with what the snapshot settles.

Pure NumPy: knows cells and parameters; must not know where the events come from, nor what is
fitted.

BM25's lengths and entries are those of the whole snapshot, also for the trial model, which learns
from a part of it.
"""

from __future__ import annotations

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from registry.bm25_statistics import CellPlaces, SnapshotBm25, snapshot_bm25
from registry.versions.manifest import Parameters
from registry.weighing import Weighing
from registry.wire.training_records.auto_transform import settled
from registry.wire.training_records.event_weights import EventWeight
from training.data.matrix import Cells, Csr, csr


def settle_transforms(parameters: Parameters, cells: Cells) -> Parameters:
    """Return the parameters with a definite transform for each kind, as the manifest records them.

    Parameters
    ----------
    parameters
        Some transforms may be ``auto``.
    cells
        The snapshot's, whose largest values decide.
    """
    if all(weight.transform != "auto" for weight in parameters.weights.values()):
        return parameters
    largest = {
        kind: float(np.nanmax(np.abs(column), initial=0)) for kind, column in cells.values.items()
    }
    return structs.replace(parameters, event_weights=settled(parameters.weights, largest))


def weighing_of(cells: Cells, parameters: Parameters) -> Weighing:
    """Return how a version weighs that learns from these cells.

    Parameters
    ----------
    cells
        The whole snapshot's.
    parameters
        Its event weights, none of them ``auto``; ``half_life_days`` and ``window_days``.
    """
    return Weighing(
        parameters.weights,
        cells.newest,
        parameters.half_life_days,
        parameters.window_days,
        {
            kind: _snapshot_bm25(cells, kind, weight)
            for kind, weight in parameters.weights.items()
            if weight.transform == "bm25"
        },
    )


def weights(cells: Cells, parameters: Parameters) -> NDArray[np.float32]:
    """Return how much each cell counts, by its events and its age.

    Parameters
    ----------
    cells
        The cells.
    parameters
        As of :func:`weighing_of`.

    Returns
    -------
    (cells,) float32, at least 0; empty for no cells.
    """
    weighing = weighing_of(cells, parameters)
    return weighing.of(cells.values, cells.time, _places(cells) if weighing.bm25 else None)


def weighted(cells: Cells, parameters: Parameters) -> Csr:
    """Return the cells that teach as a users × items matrix of their weights."""
    weight = weights(cells, parameters)
    return csr(cells, weight > 0, weight)


def _snapshot_bm25(cells: Cells, kind: str, weight: EventWeight) -> SnapshotBm25:
    users, items = cells.shape
    if kind not in cells.values:  # no event yet; a later one must have something to go by
        none = np.empty(0, np.int32)
        return snapshot_bm25(np.empty(0, np.float32), CellPlaces(none, none, users), items, weight)
    x = cells.values[kind] - np.float32(weight.floor)
    return snapshot_bm25(x, _places(cells), items, weight)


def _places(cells: Cells) -> CellPlaces:
    return CellPlaces(cells.user, cells.item, cells.shape[0])
