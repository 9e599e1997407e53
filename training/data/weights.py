"""How much each cell counts: by its events (`registry.weighing`), and by its age.

Pure NumPy: knows cells and parameters; must not know where the events come from, nor what is
fitted.

BM25's lengths and entries are those of the whole snapshot, also for the trial model, which learns
from a part of it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from registry.versions.manifest import Parameters
from registry.weighing import Bm25, bm25_of, weigh
from registry.wire.training_records.event_weights import EventWeight, EventWeights, settled
from training.data.matrix import Cells, Csr, Floats, csr

DAY_SECONDS: Final = 86_400.0


def settle_transforms(parameters: Parameters, cells: Cells) -> Parameters:
    """Return the parameters with a definite transform for each kind, as the manifest records them.

    Parameters
    ----------
    parameters
        Some transforms may be ``auto``.
    cells
        The snapshot's, whose largest values decide.
    """
    if all(one.transform != "auto" for one in parameters.weights.values()):
        return parameters
    largest = {
        kind: float(np.nanmax(np.abs(column), initial=0)) for kind, column in cells.values.items()
    }
    return structs.replace(parameters, event_weights=settled(parameters.weights, largest))


def weights(cells: Cells, parameters: Parameters) -> NDArray[np.float32]:
    r"""Return how much each cell counts, by its events and its age.

    .. math::
        w = \mathrm{weigh} \cdot 2^{-a / h} \cdot [a \le d], \quad
        a = (t_{newest} - t_{cell}) / 86400

    with half-life h (``half_life_days``) and window d (``window_days``); a factor whose setting is
    0 is left out. The age is counted from the snapshot's newest event, not from the clock: the same
    ranges give the same weights at any time. A cell outside of the window weighs 0, so it teaches
    nothing, but counts as seen.

    Parameters
    ----------
    cells
        The cells.
    parameters
        Its event weights (:func:`registry.weighing.weigh`), none of them ``auto``;
        ``half_life_days`` and ``window_days``.

    Returns
    -------
    (cells,) float32, at least 0; empty for no cells.
    """
    weight = weigh(cells.values, parameters.weights, _bm25(cells, parameters.weights))
    if parameters.half_life_days:
        weight *= np.exp2(-_age_days(cells) / parameters.half_life_days).astype(np.float32)
    if parameters.window_days:
        weight[_age_days(cells) > parameters.window_days] = 0
    return weight


def weighted(cells: Cells, parameters: Parameters) -> Csr:
    """Return the cells that teach as a users × items matrix of their weights."""
    weight = weights(cells, parameters)
    return csr(cells, weight > 0, weight)


def _age_days(cells: Cells) -> Floats:
    return (cells.newest - cells.time) / DAY_SECONDS


def _bm25(cells: Cells, weights: EventWeights) -> dict[str, Bm25]:
    """Return norm and rarity of each cell, for the kinds whose transform asks for them."""
    return {
        kind: _bm25_of_kind(cells, kind, one)
        for kind, one in weights.items()
        if one.transform == "bm25" and kind in cells.values
    }


def _bm25_of_kind(cells: Cells, kind: str, weight: EventWeight) -> Bm25:
    rows, shape = (cells.item, cells.user), (cells.shape[1], cells.shape[0])
    if weight.per == "user":
        rows, shape = rows[::-1], shape[::-1]
    x = cells.values[kind] - np.float32(weight.floor)
    return bm25_of(x, *rows, shape, weight.b).at(*rows)
