"""Ranking: each user's exact best items, whoever else is in the batch and whatever the processor.

A kernel proposes (`registry.scoring.kernels`), this module decides. The last digits of a matrix
product depend on the shape of the batch and on the kernel that BLAS picks for the processor; so
they are not shown, and do not decide between two items. Every item within the rounding bound of the
k-th is scored again by `recompute`, whose order of operations depends only on the number of
factors. Items are sorted by that score, ties by row.

Knows factors and rows. Must not know ids, requests or where factors come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from registry.scoring.kernel_choice import KernelUse, first_size, time_kernels
from registry.scoring.kernels import (
    HIDDEN_SCORE,
    SMALLEST_NORMAL,
    UNIT_ROUNDOFF,
    Hiding,
    ImplicitKernel,
    ItemRows,
    Kernel,
    Scores,
)
from registry.scoring.model_arrays import Factors
from registry.scoring.score_order import best_first
from registry.scoring.tile_scan import TileScan

ABOVE_HIDDEN: Final = float(np.nextafter(np.float32(HIDDEN_SCORE), np.float32(0)))
"""The least that a score can be."""

MARGIN: Final = 2
"""Items asked for beyond k. As a rule they lie further below the k-th than rounding reaches, and so
show that no other item can be among the best. Where they do not, more are asked for."""

TILES_FROM: Final = 16
"""Users of a batch, until the kernels have been timed."""

TYPICAL_ITEMS: Final = 12
"""Asked for while kernels are timed: ten, and the margin."""

MOST_IN_TILES: Final = 1_024
"""Items asked for. The first tile is four times as large."""

WIDER: Final = 4
"""Times as many items are asked for then, of the users in doubt only."""

PRODUCTS_AT_ONCE: Final = 1 << 18
"""Of `recompute`: 1 MB of float32, which stays in the processor's cache. Four times as many take a
quarter longer, a quarter as many twice as long."""

Ranked = tuple[list[int], list[float]]  # rows and scores, best first; a NamedTuple costs 1 % more


class Ranking:
    """Ranks the items of one version. Immutable; any number of threads may use it at once.

    Parameters
    ----------
    item_factors
        float32 (items, factors), finite. In Fortran order, as a version is published, it is used
        as it is; otherwise copied: that halves the time of small batches.
    """

    def __init__(self, item_factors: Factors) -> None:
        self.item_factors: Factors = np.asfortranarray(item_factors)
        self.norms = _norms(self.item_factors)
        self.largest_norm = float(self.norms.max())
        self._small = ImplicitKernel(self.item_factors)
        self.tile_scan = TileScan(self.item_factors)
        self.tiles_from: float = TILES_FROM
        self.share_read = 1.0

    @property
    def kernel(self) -> KernelUse:
        """Which kernel serves batches of which size."""
        return KernelUse(self.tiles_from, self.share_read)

    def choose_kernel(
        self, users: Factors, hiding: Sequence[Hiding], timer: Callable[[], float]
    ) -> None:
        """Time the kernels on real users, and use the quicker one for each size of a batch.

        Sets ``tiles_from``, the smallest batch that `TileScan` serves, and ``share_read``, the
        share of all scores that it computes for `users`. To be called before others use this.

        Parameters
        ----------
        users
            float32 (n, factors), n > 0.
        hiding
            What to hide from each.
        timer
            CPU time of this thread, in seconds.
        """
        items, asked = len(self.item_factors), min(TYPICAL_ITEMS, len(self.item_factors))
        timed = time_kernels(self._small, self.tile_scan, items, users, asked, hiding, timer)
        self.tiles_from = first_size(timed)
        sample = timed[-1].size
        self.share_read = self.tile_scan.share_read(users[:sample], asked, hiding[:sample])

    def best(
        self,
        users: Factors,
        sizes: Sequence[int],
        hiding: Sequence[Hiding],
        threads: int = 1,
        withdrawn: ItemRows | None = None,
    ) -> list[Ranked]:
        """Return each user's best items, ``sizes[n]`` of them or all that are not hidden.

        Parameters
        ----------
        users
            float32 (n, factors), n > 0.
        sizes
            Items wanted by each, 1 or more. The largest sets the cost of all.
        hiding
            What to hide from each.
        threads
            Threads that share the batch, in slices of 100 users.
        withdrawn
            Rows to hide from all; None for none.
        """
        items = len(self.item_factors)
        sizes = [min(size, items) for size in sizes]
        return self._best(users, sizes, hiding, max(sizes) + MARGIN, threads, withdrawn)

    def _best(
        self,
        users: Factors,
        sizes: Sequence[int],
        hiding: Sequence[Hiding],
        asked: int,
        threads: int,
        withdrawn: ItemRows | None,
    ) -> list[Ranked]:
        """Rank among the `asked` items that the kernel puts first, or more where it takes more.

        With ``e`` the most by which the kernel's score and the recomputed one differ, and ``t`` the
        kernel's k-th score: k items have a recomputed score of at least ``t - e``, so one of the
        k best has, too, and a kernel's score of at least ``t - 2e``.
        """
        asked = min(asked, len(self.item_factors))
        kernel = self._kernel(len(users), asked)
        rows, proposed = kernel.propose(users, asked, hiding, withdrawn, threads)
        kth = proposed[range(len(users)), [size - 1 for size in sizes]]
        floor = np.maximum(kth - 2 * self.error_bounds(users), ABOVE_HIDDEN)
        counts = (proposed >= floor[:, np.newaxis]).sum(axis=1).tolist()
        ranked = self._ranked(users, rows, counts, sizes)
        if max(counts) == asked < len(self.item_factors):
            doubtful = [number for number, count in enumerate(counts) if count == asked]
            wider = self._best(
                users[doubtful],
                [sizes[number] for number in doubtful],
                [hiding[number] for number in doubtful],
                asked * WIDER,
                threads,
                withdrawn,
            )
            for number, better in zip(doubtful, wider, strict=True):
                ranked[number] = better
        return ranked

    def _kernel(self, users: int, asked: int) -> Kernel:
        in_tiles = users >= self.tiles_from and asked <= MOST_IN_TILES
        return self.tile_scan if in_tiles else self._small

    def _ranked(
        self, users: Factors, rows: ItemRows, counts: Sequence[int], sizes: Sequence[int]
    ) -> list[Ranked]:
        """Put each user's first `counts` of the rows in order, and cut them to its size."""
        rows = rows[:, : max(counts)]
        scores = recompute(self.item_factors, users, rows)
        falls = scores[:, :-1] > scores[:, 1:]
        if not falls.all():
            for number in np.flatnonzero(~falls.all(axis=1)).tolist():
                _sort(rows[number, : counts[number]], scores[number, : counts[number]])
        shown = map(min, counts, sizes)
        return [
            (its_rows[:count], its_scores[:count])
            for its_rows, its_scores, count in zip(
                rows.tolist(), scores.tolist(), shown, strict=True
            )
        ]

    def error_bounds(self, users: Factors) -> npt.NDArray[np.float64]:
        """Return the most by which two ways of computing a user's scores can differ, (n,).

        A sum of f products, in whatever order, is off by at most ``γ_f · Σ|u_i v_i|`` with
        ``γ_f = f u / (1 - f u)`` and ``u = 2^-24`` (Higham, "Accuracy and Stability of Numerical
        Algorithms", 2nd edition, §3.1), and ``Σ|u_i v_i|`` is at most ``‖u‖ ‖v‖``. A product that
        underflows is off by less than the smallest normal number.
        """
        factors = users.shape[1]
        gamma = factors * UNIT_ROUNDOFF / (1 - factors * UNIT_ROUNDOFF)
        largest_sums = self.largest_norm * _norms(users)
        bounds: npt.NDArray[np.float64] = 2 * (gamma * largest_sums + factors * SMALLEST_NORMAL)
        return bounds


def recompute(item_factors: Factors, users: Factors, rows: ItemRows) -> Scores:
    """Return ``users[n] · item_factors[rows[n, m]]``, the same bits whatever else is computed.

    Made of element-wise products and sums only, each of which IEEE 754 defines to the bit, in a
    tree that depends on the number of factors alone: the last half is added to the first, until
    one is left. A matrix product, ``einsum`` or ``sum`` would choose its order by shape.

    Parameters
    ----------
    item_factors
        float32 (items, factors); quickest in Fortran order.
    users
        float32 (n, factors).
    rows
        Item rows (n, m).

    Returns
    -------
    float32 (n, m).

    Examples
    --------
    >>> items = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    >>> recompute(items, np.array([[1, 10, 100]], np.float32), np.array([[1, 0]])).tolist()
    [[654.0, 321.0]]
    """
    scores = np.empty(rows.shape, np.float32)
    at_once = max(1, PRODUCTS_AT_ONCE // max(1, item_factors.shape[1] * rows.shape[1]))
    for start in range(0, len(rows), at_once):
        some = slice(start, start + at_once)
        products = item_factors.T.take(rows[some].T, axis=1)  # (factors, m, some)
        products *= np.ascontiguousarray(users[some].T)[:, np.newaxis, :]
        left = len(products)
        while left > 1:
            half = left // 2
            products[:half] += products[left - half : left]
            left -= half
        scores[some] = products[0].T
    return scores


def _sort(rows: ItemRows, scores: Scores) -> None:
    """Sort one user's rows and scores in place, the highest score first, equal ones by row."""
    order = best_first(rows, scores)
    rows[:], scores[:] = rows[order], scores[order]


def _norms(factors: Factors) -> npt.NDArray[np.float64]:
    """Return the Euclidean norm of each row."""
    squares = np.einsum("ij,ij->i", factors, factors, dtype=np.float64)
    return np.asarray(np.sqrt(squares))
