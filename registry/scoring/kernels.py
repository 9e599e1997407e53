"""What proposes the best items: the protocol of all kernels, and ``implicit``'s.

A kernel finds each user's best items by scores whose last digits may depend on the batch and on the
processor. Which of them are shown, in which order, is decided by `registry.scoring.ranking`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from registry.scoring.model_arrays import Factors
from registry.scoring.topk_kernel import topk

HIDDEN_SCORE: Final = -float(np.finfo(np.float32).max)
"""What a kernel gives a hidden item; a version's real scores stay above it (`artifact_format`)."""

UNIT_ROUNDOFF: Final = 2.0**-24
"""Of float32: the largest relative error of one operation."""

SMALLEST_NORMAL: Final = float(np.finfo(np.float32).tiny)

ItemRows: TypeAlias = npt.NDArray[np.int32]
Scores: TypeAlias = npt.NDArray[np.float32]
Proposal: TypeAlias = tuple[ItemRows, Scores]


class Hiding(Protocol):
    """The item rows to hide from one user, under the name by which ``topk`` looks for them."""

    @property
    def indices(self) -> ItemRows:
        """Rows in any order; one that is named twice is hidden once."""


class Kernel(Protocol):
    """Proposes items of one version. Any number of threads may use it at once."""

    @property
    def name(self) -> str:
        """As the status page shows it."""

    def propose(
        self,
        users: Factors,
        asked: int,
        hiding: Sequence[Hiding],
        withdrawn: ItemRows | None = None,
        threads: int = 1,
    ) -> Proposal:
        """Return each user's best items by this kernel's scores.

        Parameters
        ----------
        users
            float32 (n, factors), n > 0.
        asked
            Items for each, from 1 to all.
        hiding
            What to hide from each.
        withdrawn
            Item rows to hide from all.
        threads
            Threads that share the batch.

        Returns
        -------
        Rows and scores, (n, asked), best first; a hidden item has `HIDDEN_SCORE`.
        """


class ImplicitKernel:
    """``implicit``'s: one matrix product and one heap a user. Scans everything, without overhead.

    Parameters
    ----------
    item_factors
        float32 (items, factors), in Fortran order.
    """

    name = "implicit"

    def __init__(self, item_factors: Factors) -> None:
        self._item_factors = item_factors

    def propose(
        self,
        users: Factors,
        asked: int,
        hiding: Sequence[Hiding],
        withdrawn: ItemRows | None = None,
        threads: int = 1,
    ) -> Proposal:
        """Return each user's best items; see `Kernel.propose`."""
        rows, scores = topk(
            self._item_factors,
            users,
            asked,
            filter_query_items=hiding,
            filter_items=withdrawn,
            num_threads=threads,
        )
        return rows, scores
