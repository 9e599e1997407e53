r"""The loss that a version's factors minimise, as far as solving for one more row needs it.

Pure. Must not know who fits (`training.fitting`), nor how rows are solved for.

Both backends minimise :math:`\sum c (p - x^\top y)^2` and a penalty; in two places they differ:

======== ======================= =========================================================
backend  confidence of an entry  penalty of a row with n entries
======== ======================= =========================================================
implicit :math:`\alpha w`        :math:`\lambda \|x\|^2`
spark    :math:`1 + \alpha w`    :math:`\lambda_s n \|x\|^2`, with :math:`\lambda_s` of
                                 :func:`regularization_by_entries`
======== ======================= =========================================================
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.errors import ShapeError

BACKENDS: Final = ("implicit", "spark")
"""Whose loss is known."""


class Filled(NamedTuple):
    """How much of a matrix of weights is filled.

    Parameters
    ----------
    users, items
        How many rows, and how many columns, have an entry.
    entries
        How many there are.
    """

    users: int
    items: int
    entries: int


class LossFunction(NamedTuple):
    """What solving for one more row needs to know.

    Parameters
    ----------
    alpha
        Factor of the weights.
    regularization
        Of each row, or of each entry of a row.
    added_confidence
        Of each entry, whatever it weighs.
    by_entries
        The penalty of a row grows with its entries.
    """

    alpha: float
    regularization: float
    added_confidence: float = 0.0
    by_entries: bool = False

    def confidence(self, weight: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the confidence of entries by their weights, above 0."""
        found: NDArray[np.float64] = self.added_confidence + self.alpha * weight.astype(np.float64)
        return found

    def penalty(self, entries: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return what is added to the diagonal of rows with so many entries."""
        if self.by_entries:
            return self.regularization * entries.astype(np.float64)
        return np.full(len(entries), self.regularization)


def loss_function(
    backend: str, alpha: float, regularization: float, filled: Filled
) -> LossFunction:
    """Return the loss that a backend minimised.

    Parameters
    ----------
    backend
        ``implicit`` or ``spark``, as the manifest names it.
    alpha, regularization
        As the manifest has them.
    filled
        Of the matrix that was fitted.

    Raises
    ------
    ShapeError
        If the backend is another.

    Examples
    --------
    >>> loss_function("implicit", 2.0, 3.0, Filled(2, 2, 4)).regularization
    3.0
    >>> loss_function("spark", 2.0, 3.0, Filled(2, 2, 4)).regularization
    1.5
    """
    if backend == "implicit":
        return LossFunction(alpha, regularization)
    if backend == "spark":
        by_entries = regularization_by_entries(filled, regularization)
        return LossFunction(alpha, by_entries, added_confidence=1.0, by_entries=True)
    raise ShapeError(f"backend {backend!r}: the loss of implicit and spark is known")


def regularization_by_entries(filled: Filled, regularization: float) -> float:
    r"""Return Spark's ``regParam``, that regularizes as strongly as `implicit` does.

    :math:`\lambda / \sqrt{\bar n_U \bar n_I}`, the means over rows and columns with entries.

    Parameters
    ----------
    filled
        With one entry at least.
    regularization
        As `implicit` means it.
    """
    return regularization * math.sqrt(filled.users * filled.items) / filled.entries
