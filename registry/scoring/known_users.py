"""The users that a version knows: their rows and vectors, and which items they had seen.

Pure. Must not know requests, or how items are ranked for a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from registry.fresh.version_window import NO_ROWS, FreshUser
from registry.ids import UserId, twin_of
from registry.scoring.id_index import Rows
from registry.scoring.kernels import ItemRows
from registry.scoring.model_arrays import Factors, ModelArrays
from registry.wire.responses import Source


class Askers(NamedTuple):
    """Who asks in a batch: their vectors, which count unless popularity ranks, and seen rows."""

    vectors: Factors
    sources: list[Source]
    seen: list[ItemRows]


class KnownUsers:
    """The users of one version. Immutable.

    Parameters
    ----------
    arrays
        The version's. ``factors`` are its (users, factors) float32: the stored vectors; zeros,
        where nothing was learned.
    """

    def __init__(self, arrays: ModelArrays) -> None:
        self.factors = arrays.user_factors
        self.seen_bounds = arrays.seen_indptr
        self.seen_items = arrays.seen_items
        self._rows = Rows(arrays.user_ids)
        self._learned: npt.NDArray[np.bool_] = np.any(arrays.user_factors, axis=1)

    @property
    def learned(self) -> int:
        """How many have a vector that is not all zeros."""
        return int(self._learned.sum())

    def ids(self) -> list[UserId]:
        """Return all ids, in the order of the rows; they are rebuilt."""
        return self._rows.ids()

    def learned_row(self, user_id: UserId | None) -> tuple[int | None, bool]:
        """Return a user's row, None if there is none, and whether its vector is not all zeros."""
        row = None if user_id is None else self._rows.of(user_id)
        return row, row is not None and bool(self._learned[row])

    def learned_sample(self, most: int) -> npt.NDArray[np.intp]:
        """Return the rows of at most `most` users with a vector, from all over the version."""
        learned = np.flatnonzero(self._learned)
        return learned[:: max(1, len(learned) // most)][:most]

    def seen_by(self, user_id: UserId) -> ItemRows:
        """Return the rows of the items that a user had seen when the version learned."""
        row = self._rows.of(user_id)
        return NO_ROWS if row is None else self.seen_in_row(row)

    def seen_in_row(self, user_row: int) -> ItemRows:
        """Return the same of the user in `user_row`."""
        bounds = self.seen_bounds
        return self.seen_items[bounds.item(user_row) : bounds.item(user_row + 1)]

    def knows_other_type_of(self, user_id: UserId) -> bool:
        """Tell whether the training set holds this user's id with the other JSON type only."""
        rows = self._rows  # the twin first: of most users without a row, there is none either
        return rows.of(twin_of(user_id)) is not None and rows.of(user_id) is None

    def askers(
        self, user_ids: Sequence[UserId | None], known: Sequence[FreshUser | None]
    ) -> Askers:
        """Return what is known of who asks; of one who was forgotten, what he did since.

        `known` is what each has done since the version learned, None for nothing.
        """
        rows = self._rows.all_of(
            [
                None if lately is not None and lately.forgotten else user_id
                for user_id, lately in zip(user_ids, known, strict=True)
            ]
        )
        vectors = self.factors[[-1 if row is None else row for row in rows]]
        sources: list[Source] = []
        for position, (row, lately) in enumerate(zip(rows, known, strict=True)):
            source: Source = "popular"
            if lately is not None and lately.source not in (None, "model"):
                if lately.vector is not None:
                    source, vectors[position] = lately.source, lately.vector
            elif row is not None and self._learned.item(row):
                source = "model"
            sources.append(source)
        seen = [NO_ROWS if row is None else self.seen_in_row(row) for row in rows]
        return Askers(vectors, sources, seen)
