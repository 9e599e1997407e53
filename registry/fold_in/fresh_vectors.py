"""Fresh vectors: what one version makes of some users' learned cells and fresh events.

Pure NumPy: puts merging, weighing, the source and the solver in order. Must not know requests,
files or Kafka.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.fold_in.answer_source import UserFacts, vector_source
from registry.fold_in.learned_cells import LearnedCells
from registry.fold_in.loss_function import LossFunction
from registry.fold_in.merged_cells import MergedCells, UserEvents, merge
from registry.fold_in.row_solver import Factors, ItemRows, RowSolver, teaching
from registry.fresh.fresh_forgetting import FreshHistory
from registry.ids import ItemId, UserId
from registry.latest_rows import Offsets
from registry.weighing import Weighing
from registry.wire.responses import VectorSource
from registry.wire.training_records.event_weights import undo_targets


class FreshVector(NamedTuple):
    """What ranks one user's items, and from what it was made.

    Parameters
    ----------
    source
        What ranks.
    vector
        (f,) float32; None unless it was solved for: ``recomputed``, ``fold_in``.
    seen
        Item rows that count as seen, ascending.
    weight
        Of each of them; 0: it taught nothing.
    """

    source: VectorSource
    vector: NDArray[np.float32] | None
    seen: ItemRows
    weight: NDArray[np.float32]


class FreshVectors:
    """One version, as far as fresh events go. Immutable.

    Parameters
    ----------
    item_factors
        (items, f) float32.
    loss
        What they minimise.
    learned, weighing
        What the version learned, and how it weighs.
    seen_indptr, seen_items
        Its seen items.
    item_row
        Returns an item's row; None: it has none.
    """

    def __init__(
        self,
        item_factors: Factors,
        loss: LossFunction,
        learned: LearnedCells,
        weighing: Weighing,
        seen_indptr: Offsets,
        seen_items: ItemRows,
        item_row: Callable[[ItemId], int | None],
    ) -> None:
        self.loss = loss
        self._solver = RowSolver(item_factors, loss)
        self._learned = learned
        self._weighing = weighing
        self._seen = seen_indptr, seen_items
        self._items = len(item_factors)
        self._item_row = item_row
        self._undoes = undo_targets(weighing.weights)
        self._kinds = frozenset((*learned.kinds, *self._undoes))

    def merged(self, users: Sequence[UserEvents]) -> tuple[MergedCells, NDArray[np.float32]]:
        """Return the cells of some users, and what each counts."""
        cells = self._merge(users)
        return cells, cells.weigh(self._weighing)

    def seen(self, user: UserEvents) -> ItemRows:
        """Return the rows of the items that count as seen, ascending."""
        return self._merge([user]).item

    def of(
        self,
        users: Sequence[UserEvents],
        learned: Sequence[bool],
        fold_in_least: int,
        compared_fresh: Sequence[bool] = (),
    ) -> list[FreshVector]:
        """Return what ranks the items of some users.

        Parameters
        ----------
        users
            Each with the history that is fresh for this version.
        learned
            Of each, whether the version has a vector that is not all zeros.
        fold_in_least
            Weighted items that a new user needs.
        compared_fresh
            Of each, whether fresh events count for another version that this one is compared with;
            empty: of none.
        """
        cells, weight = self.merged(users)
        entries = teaching(cells.indptr, cells.item, weight)
        sources = [
            vector_source(
                UserFacts(
                    learned=known,
                    forgotten=user.history.forgotten,
                    fresh=self._has_fresh(user),
                    compared_fresh=compared,
                    weighted=weighted,
                ),
                fold_in_least,
            )
            for user, known, weighted, compared in zip(
                users,
                learned,
                np.diff(entries.indptr).tolist(),
                compared_fresh or [False] * len(users),
                strict=True,
            )
        ]
        vectors = self._solver.solve(entries)
        bounds = cells.indptr.tolist()
        # copies: who keeps one user's vector must not keep the arrays of the whole batch
        return [
            FreshVector(
                source,
                vectors[place].copy() if source in ("recomputed", "fold_in") else None,
                cells.item[bounds[place] : bounds[place + 1]].copy(),
                weight[bounds[place] : bounds[place + 1]].copy(),
            )
            for place, source in enumerate(sources)
        ]

    @property
    def weighs_alone(self) -> bool:
        """Whether events can be weighed without a snapshot's statistics of their items (BM25)."""
        return not self._weighing.bm25

    def weights_of_item(
        self, item_id: ItemId, histories: Sequence[FreshHistory]
    ) -> NDArray[np.float32]:
        """Return what an item that the version does not know weighs for some users.

        Parameters
        ----------
        item_id
            The item.
        histories
            What each user did with it, and no more.

        Returns
        -------
        (users,) float32; 0: it is not learned.
        """
        users = [UserEvents(None, history) for history in histories]
        cells = merge(users, self._learned, *self._seen, 1, {item_id: 0}.get, self._undoes)
        found = np.zeros(len(users), np.float32)
        owner = np.repeat(np.arange(len(users)), np.diff(cells.indptr))
        found[owner] = cells.weigh(self._weighing)
        return found

    def forgotten_until(self, user_id: UserId) -> float:
        """Return the time of the latest `forget` that the version knows of a user; -inf: none."""
        return self._learned.forgotten.get(user_id, -math.inf)

    def because(self, user: FreshVector, targets: Factors) -> NDArray[np.float64]:
        """Return (seen, targets): how much each of the user's items contributes to some scores.

        `targets` are the vectors of the items that have them, (targets, f) float32. What taught
        nothing contributes nothing. The columns add up to the scores by a vector that was solved
        for; a stored one's differ a little.
        """
        found = np.zeros((len(user.seen), len(targets)))
        teaches = user.weight > 0
        if teaches.any():
            found[teaches] = self._solver.contributions(
                user.seen[teaches], user.weight[teaches], targets
            )
        return found

    def _merge(self, users: Sequence[UserEvents]) -> MergedCells:
        return merge(users, self._learned, *self._seen, self._items, self._item_row, self._undoes)

    def _has_fresh(self, user: UserEvents) -> bool:
        return any(
            event.event in self._kinds
            and event.item_id is not None
            and self._item_row(event.item_id) is not None
            for event in user.history.events
        )
