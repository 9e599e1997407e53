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

from registry.errors import ShapeError
from registry.wire.training_records.event_weights import EventWeight, EventWeights

Values: TypeAlias = Mapping[str, NDArray[np.float32]]
"""By kind: (cells,) the value of the latest event, NaN where there is none."""

Floats: TypeAlias = NDArray[np.float64]


class Bm25(NamedTuple):
    """What BM25 knows of a snapshot.

    Parameters
    ----------
    norm
        n of each document (item, or user).
    rarity
        r of each term (user, or item).
    """

    norm: Floats
    rarity: Floats

    def at(self, document: NDArray[np.integer], term: NDArray[np.integer]) -> Bm25:
        """Return both for each cell, of which the document and the term are given."""
        return Bm25(self.norm[document], self.rarity[term])


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
    (cells,) float32, at least 0; empty for no cells. A cell of weight 0 teaches nothing, but counts
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


def bm25_of(
    x: NDArray[np.float32],
    document: NDArray[np.integer],
    term: NDArray[np.integer],
    shape: tuple[int, int],
    b: float,
) -> Bm25:
    """Return BM25's statistics of one kind of event.

    Parameters
    ----------
    x
        (cells,) values minus their floor, NaN where there is no event.
    document, term
        (cells,) rows of both.
    shape
        How many documents and terms there are.
    b
        0: lengths do not count; 1: fully.
    """
    size = np.nan_to_num(np.abs(x, dtype=np.float64))
    length = np.bincount(document, size, shape[0])
    mean = length.mean() if len(length) and length.any() else 1.0
    entries = np.bincount(term, ~np.isnan(x), shape[1])
    rarity = np.log(max(shape[0], 1)) - np.log1p(entries)
    return Bm25(1 - b + b * length / mean, np.maximum(rarity, 0))
