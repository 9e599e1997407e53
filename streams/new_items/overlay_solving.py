"""What the owner of the control partition makes of all shares: vectors to send, or to take back.

No Kafka: the share book and the vectors that are on the topic in, records out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from registry.fold_in.row_solver import RowSolver
from registry.ids import ItemId
from registry.new_items.new_item_records import (
    NewItemKey,
    NewItemRecord,
    key_of_record,
    record_of_vector,
)
from registry.new_items.overlay import PlacedVector
from registry.new_items.share_book import ShareBook
from registry.versions.capabilities.new_item_capability import has_new_items
from registry.versions.model import Model

Placed = Mapping[str, Mapping[ItemId, PlacedVector]]
"""By version and item: what is on the topic."""


class KeyedRecord(NamedTuple):
    """A record to send; None: what its key names is taken back."""

    key: NewItemKey
    record: NewItemRecord | None

    @classmethod
    def of(cls, record: NewItemRecord) -> KeyedRecord:
        """Return a record under its key."""
        return cls(key_of_record(record), record)


class OverlaySolving:
    """Solves for the items of all versions in memory. For one thread.

    Parameters
    ----------
    least_users
        Users that an item needs.
    """

    def __init__(self, least_users: int) -> None:
        self._least_users = least_users
        self._solvers: dict[str, RowSolver] = {}
        self.book = ShareBook()

    def due(
        self, models: Mapping[str, Model], kept: Collection[str], placed: Placed
    ) -> list[KeyedRecord]:
        """Return what is to be sent, so that the topic has what the shares add up to.

        Parameters
        ----------
        models
            The versions in memory.
        kept
            Versions that the rollout state names. What is there of others is taken back.
        placed
            The vectors on the topic.
        """
        self._solvers = {
            version: solver for version, solver in self._solvers.items() if version in models
        }
        found = []
        for version in sorted(self.book.versions | placed.keys()):
            vectors = placed.get(version, {})
            model = models.get(version)
            if version not in kept:
                found += [KeyedRecord(key, None) for key in self.book.keys_of(version)]
                found += [_taken_back(version, item) for item in vectors]
                self.book.let_go(version)
            elif model is not None and has_new_items(model):
                found += self._of_version(version, model, vectors)
        return found

    def _of_version(
        self, version: str, model: Model, vectors: Mapping[ItemId, PlacedVector]
    ) -> list[KeyedRecord]:
        factors = model.known_users.factors.shape[1]
        solved = self.book.solve(
            version, lambda: self._solver_of(version, model), factors, self._least_users
        )
        changed = [
            KeyedRecord.of(record_of_vector(version, item, new))
            for item, new in solved.items()
            if (known := vectors.get(item)) is None
            or known.users != new.users
            or not np.array_equal(known.vector, new.vector)
        ]
        return changed + [_taken_back(version, item) for item in vectors if item not in solved]

    def _solver_of(self, version: str, model: Model) -> RowSolver:
        """Return what solves by a version's users: a second for each million of them, once."""
        if version not in self._solvers:
            assert model.fresh_vectors is not None  # `has_new_items`
            self._solvers[version] = RowSolver(model.known_users.factors, model.fresh_vectors.loss)
        return self._solvers[version]


def _taken_back(version: str, item: ItemId) -> KeyedRecord:
    return KeyedRecord(NewItemKey("solved", version, None, item), None)
