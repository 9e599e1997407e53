r"""What events weigh: one formula, for training and for folding in later events.

Pure NumPy: knows values and weights; must not know users, files or what is fitted.

Of each kind k of event that a user had with an item, the value :math:`v_k` is a count or a strength
(1 if the event has none), and

.. math::
    w = \max\bigl(0, \sum_k \mathrm{weight}_k \cdot f_k(v_k - \mathrm{floor}_k)\bigr)

========== ==============================================================================
transform  f(x), for x ≥ 0; below, f(x) = -f(-x): it speaks against the other kinds
========== ==============================================================================
linear     x
log        ln(1 + x); Hu, Koren and Volinsky 2008 use it for viewing times
sqrt       √x
binary     1 for any x above 0, and 0 for 0
bm25       x (K1 + 1) / (K1 n + x) · r, with n = 1 - B + B · length / mean length, and
           r = max(0, ln N - ln(1 + entries)); as `implicit.nearest_neighbours.bm25_weight`
           (Robertson and Zaragoza: "The Probabilistic Relevance Framework", 2009)
========== ==============================================================================

With ``per=item``, as `implicit` has it, *length* is the sum of an item's values, N the number of
items, and *entries* the number of items that the user has; with ``per=user`` the two change places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.bm25_statistics import Bm25, CellPlaces, SnapshotBm25
from registry.errors import ShapeError
from registry.wire.training_records.event_weights import EventWeight, EventWeights

Values: TypeAlias = Mapping[str, NDArray[np.float32]]
"""By kind: (cells,) the value of the latest event, NaN where there is none."""

Floats: TypeAlias = NDArray[np.float64]


DAY_SECONDS: Final = 86_400.0


def weigh(
    values: Values, weights: EventWeights, bm25: Mapping[str, Bm25] | None = None
) -> NDArray[np.float32]:
    """Return how much the events of each cell count.

    Parameters
    ----------
    values
        What the events said; a kind that has no weight is ignored.
    weights
        Of each kind; none may be ``auto``.
    bm25
        Of each kind whose transform is ``bm25``: norm and rarity, a number for each cell.

    Returns
    -------
    (cells,) float32, at least 0; empty for no cells. A cell of weight 0 is not learned, but counts
    as seen.

    Raises
    ------
    ShapeError
        If a transform is still ``auto``.

    Examples
    --------
    >>> weights = {"play": EventWeight(2.0, "log"), "rate": EventWeight(1.0, floor=2.0)}
    >>> values = {"play": np.array([1, 260, np.nan]), "rate": np.array([np.nan, 0.5, 5])}
    >>> [f"{found:.3f}" for found in weigh(values, weights)]
    ['1.386', '9.629', '3.000']
    """
    total = np.zeros(len(next(iter(values.values()), ())), np.float32)
    for kind, weight in weights.items():
        if kind in values and weight.weight:
            counted = transformed(
                values[kind] - np.float32(weight.floor), weight, (bm25 or {}).get(kind)
            )
            counted *= np.float32(weight.weight)
            np.add(total, counted, out=total, where=~np.isnan(counted))
    return np.maximum(total, 0, out=total)


def transformed(
    x: NDArray[np.float32], weight: EventWeight, bm25: Bm25 | None = None
) -> NDArray[np.float32]:
    """Return f(x) of one kind, NaN where x is; see the module.

    Parameters
    ----------
    x
        (cells,) values minus their floor.
    weight
        Its ``transform`` and ``k1`` are read.
    bm25
        Norm and rarity of each cell, for the transform ``bm25``.
    """
    if weight.transform == "linear":
        return x.astype(np.float32)
    if weight.transform == "bm25":
        if bm25 is None:
            raise ShapeError("the transform bm25 needs the snapshot's norm and rarity")
        size = np.abs(x, dtype=np.float64)
        found = size * (weight.k1 + 1) / (weight.k1 * bm25.norm + size) * bm25.rarity
    elif weight.transform in _BY_SIZE:
        found = _BY_SIZE[weight.transform](np.abs(x, dtype=np.float64))
    else:
        raise ShapeError(f"transform {weight.transform!r}: must be resolved before weighing")
    return np.copysign(found, x).astype(np.float32)


_BY_SIZE: Final[Mapping[str, Callable[[Floats], Floats]]] = {
    "log": np.log1p,
    "sqrt": np.sqrt,
    "binary": np.sign,
}


class Weighing(NamedTuple):
    r"""How one version weighs events: the formula, with what its snapshot settled.

    .. math::
        w = \mathrm{weigh} \cdot 2^{-a / h} \cdot [a \le d], \quad
        a = \max(0, t_{newest} - t_{cell}) / 86400

    with half-life h and window d; a factor whose setting is 0 is left out. The age is counted from
    the snapshot's newest event, not from the clock: the same ranges give the same weights at any
    time, and what comes later counts as much as the newest of them. A cell outside of the window
    weighs 0, so it is not learned, but counts as seen.

    Parameters
    ----------
    weights
        Of each kind; none may be ``auto``.
    newest
        Seconds since the epoch of the snapshot's latest event.
    half_life_days, window_days
        h and d.
    bm25
        Of each kind whose transform is ``bm25``.
    """

    weights: EventWeights
    newest: float = 0.0
    half_life_days: float = 0.0
    window_days: float = 0.0
    bm25: Mapping[str, SnapshotBm25] = {}

    def of(
        self, values: Values, time: Floats, where: CellPlaces | None = None
    ) -> NDArray[np.float32]:
        """Return how much each cell counts, by its events and its age.

        Parameters
        ----------
        values
            What the events said.
        time
            (cells,) seconds since the epoch of the latest event of each.
        where
            The cells: all that each of their users has. Not needed without BM25.

        Returns
        -------
        (cells,) float32, at least 0; empty for no cells.
        """
        weighed = weigh(values, self.weights, self._bm25(values, where))
        if self.half_life_days or self.window_days:
            age_days = np.maximum(self.newest - time, 0) / DAY_SECONDS
        if self.half_life_days:
            weighed *= np.exp2(-age_days / self.half_life_days).astype(np.float32)
        if self.window_days:
            weighed[age_days > self.window_days] = 0
        return weighed

    def _bm25(self, values: Values, where: CellPlaces | None) -> dict[str, Bm25]:
        found: dict[str, Bm25] = {}
        for kind, known in self.bm25.items():
            if kind in values:
                if where is None:
                    raise ShapeError("the transform bm25 needs to know where the cells lie")
                weight = self.weights[kind]
                found[kind] = known.at(values[kind] - np.float32(weight.floor), where, weight)
        return found
