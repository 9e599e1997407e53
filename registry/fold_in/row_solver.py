r"""Row solver: the vector of a user, or of an item, from the other side's factors.

Pure NumPy. Must not know ids, versions, or whose vector it is. With the factors Y, confidences c
and the penalty λ of :mod:`registry.fold_in.loss_function`, it is the half step of the fit for one
row (Hu, Koren, Volinsky 2008):

.. math::
    x = A^{-1} \sum_i c_i y_i, \quad
    A = Y^\top Y + \lambda I + \sum_i (c_i - 1) y_i y_i^\top

The eigenvectors Q and eigenvalues of :math:`Y^\top Y` are found once, for any λ. A row of n
entries, f factors, is solved in one of two ways, which differ by rounding only:

- *short*, :math:`n \le f / 2`. With :math:`\tilde Y = Y_u Q`, :math:`Z = \tilde Y D^{-1}`, D the
  eigenvalues plus λ, and :math:`C = \mathrm{diag}(c - 1)` (Woodbury):
  :math:`(I + C Z \tilde Y^\top) v = c, x = Q Z^\top v`.
- *long*: A as it stands.

All in float64, rounded to float32 at the end: so a vector depends on neither batch nor processor,
but for one in very many.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.fold_in.loss_function import LossFunction
from registry.latest_rows import ranges

Matrix: TypeAlias = NDArray[np.float64]
Factors: TypeAlias = NDArray[np.float32]
ItemRows: TypeAlias = NDArray[np.int32]

ROWS_AT_ONCE: Final = 65_536
"""Rows of the factors that are made float64 at once, for the product."""

USERS_AT_ONCE: Final = 32
"""Rows that are solved at once: more would leave the processor's caches, fewer cost more calls."""

STEP: Final = 4
"""Short rows are filled up to a multiple of this length, so that those of about the same length
are solved together."""


class Entries(NamedTuple):
    """Entries of some rows, ragged.

    Parameters
    ----------
    indptr
        (rows + 1,) where each row's entries begin.
    item
        (entries,) int32 rows of the factors.
    weight
        (entries,) float32, above 0.
    """

    indptr: NDArray[np.int64]
    item: ItemRows
    weight: NDArray[np.float32]


def teaching(indptr: NDArray[np.int64], item: ItemRows, weight: NDArray[np.float32]) -> Entries:
    """Return the entries that weigh more than 0; the others only count as seen."""
    teaches = weight > 0
    before = np.concatenate([[0], np.cumsum(teaches)])
    return Entries(before[indptr], item[teaches], weight[teaches])


class RowSolver:
    """Solves for rows by one version's factors of the other side. Immutable.

    Parameters
    ----------
    factors
        (items, f) float32: Y.
    loss
        What they minimise.
    """

    def __init__(self, factors: Factors, loss: LossFunction) -> None:
        self._factors = factors
        self.loss = loss
        self._product = product_of(factors)
        eigenvalues, self._vectors = np.linalg.eigh(self._product)
        self._eigenvalues = np.maximum(eigenvalues, 0)  # below it by rounding only

    def solve(self, entries: Entries) -> Factors:
        """Return (rows, f) float32 vectors; a row without entries is zeros."""
        found = np.zeros((len(entries.indptr) - 1, self._factors.shape[1]))
        lengths = np.diff(entries.indptr)
        filled = -(-lengths // STEP) * STEP
        short = (lengths > 0) & (filled <= self._factors.shape[1] // 2)
        for length in np.unique(filled[short]).tolist():
            rows = np.flatnonzero(short & (filled == length))
            for start in range(0, len(rows), USERS_AT_ONCE):
                some = rows[start : start + USERS_AT_ONCE]
                found[some] = self._solve_short(entries, some, length)
        for row in np.flatnonzero((lengths > 0) & ~short).tolist():
            found[row] = self._solve_long(_row_of(entries, row))
        return found.astype(np.float32)

    def contributions(
        self, item: ItemRows, weight: NDArray[np.float32], targets: Factors
    ) -> Matrix:
        r"""Return how much each entry of a row contributes to the scores of some items.

        Score t is :math:`y_t^\top A^{-1} \sum_i c_i y_i`, so entry i contributes
        :math:`c_i \, y_t^\top A^{-1} y_i` (Hu, Koren, Volinsky 2008, section 5).

        Parameters
        ----------
        item, weight
            (entries,) the row's own.
        targets
            (targets, f) vectors of the items to explain; they need not be among the factors.

        Returns
        -------
        (entries, targets); each column adds up to the score. Empty for no entries.
        """
        y = self._factors[item].astype(np.float64)
        confidence = self.loss.confidence(weight)
        towards = _solved(self._matrix(y, confidence), targets.astype(np.float64).T)
        found: Matrix = confidence[:, None] * (y @ towards)
        return found

    def solve_shared(self, matrix: Matrix, vector: Matrix, entries: int) -> Factors:
        """Return (f,) float32: the row whose entries, so many, add this to its equation.

        `matrix` and `vector` are those of :func:`sums_of`, of some of the entries at a time, added.
        """
        whole = matrix + self._product + self._penalty(entries) * np.eye(len(vector))
        return _solved(whole, vector).astype(np.float32)

    def _solve_short(self, entries: Entries, rows: NDArray[np.int64], length: int) -> Matrix:
        starts, lengths = entries.indptr[rows], entries.indptr[rows + 1] - entries.indptr[rows]
        place = ranges(starts, lengths)
        at = (np.repeat(np.arange(len(rows)), lengths), ranges(np.zeros_like(starts), lengths))
        confidence = np.zeros((len(rows), length))
        confidence[at] = self.loss.confidence(entries.weight[place])
        less = np.zeros((len(rows), length, 1))  # C; what a row is filled up with adds nothing
        less[*at, 0] = confidence[at] - 1
        y = np.zeros((len(rows), length, self._factors.shape[1]))
        y[at] = self._factors[entries.item[place]]
        turned = y @ self._vectors
        z = turned / (self._eigenvalues + self.loss.penalty(lengths)[:, None])[:, None, :]
        kernel = less * (z @ turned.transpose(0, 2, 1)) + np.eye(length)
        v = _solved(kernel, confidence[:, :, None])
        found: Matrix = (z.transpose(0, 2, 1) @ v)[:, :, 0] @ self._vectors.T
        return found

    def _solve_long(self, row: tuple[ItemRows, NDArray[np.float32]]) -> Matrix:
        item, weight = row
        y = self._factors[item].astype(np.float64)
        confidence = self.loss.confidence(weight)
        return _solved(self._matrix(y, confidence), confidence @ y)

    def _matrix(self, y: Matrix, confidence: Matrix) -> Matrix:
        penalty = self._penalty(len(y)) * np.eye(y.shape[1])
        whole: Matrix = (y.T * (confidence - 1)) @ y + self._product + penalty
        return whole

    def _penalty(self, entries: int) -> float:
        return float(self.loss.penalty(np.array([entries]))[0])


def sums_of(
    factors: Factors, loss: LossFunction, item: ItemRows, weight: NDArray[np.float32]
) -> tuple[Matrix, Matrix]:
    """Return what some of a row's entries add to its equation: (f, f) and (f,)."""
    y = factors[item].astype(np.float64)
    confidence = loss.confidence(weight)
    return (y.T * (confidence - 1)) @ y, confidence @ y


def product_of(factors: Factors) -> Matrix:
    """Return (f, f) float64: the factors' product with themselves."""
    found = np.zeros((factors.shape[1], factors.shape[1]))
    for start in range(0, len(factors), ROWS_AT_ONCE):
        some = factors[start : start + ROWS_AT_ONCE].astype(np.float64)
        found += some.T @ some
    return found


def _solved(matrix: Matrix, right: Matrix) -> Matrix:
    found: Matrix = np.asarray(np.linalg.solve(matrix, right), np.float64)
    return found


def _row_of(entries: Entries, row: int) -> tuple[ItemRows, NDArray[np.float32]]:
    where = slice(entries.indptr[row], entries.indptr[row + 1])
    return entries.item[where], entries.weight[where]
