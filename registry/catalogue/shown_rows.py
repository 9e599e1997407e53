"""Shown rows: which items of a version answers may show, now that some are withdrawn.

Pure NumPy. Must not know scores, requests or who reads the items topic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from registry.catalogue.availability import NOTHING_WITHDRAWN, Withdrawals
from registry.ids import ItemId

Rows = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class ShownRows:
    """The item rows of one version by what is withdrawn. Immutable.

    Parameters
    ----------
    popular
        (shown,) rows of the items that are shown, the most popular first.
    is_withdrawn
        (items,) which rows are hidden from everybody.
    withdrawn
        (hidden,) their rows, ascending.
    withdrawals
        What that was made of.
    """

    popular: Rows
    is_withdrawn: npt.NDArray[np.bool_]
    withdrawn: Rows
    withdrawals: Withdrawals = NOTHING_WITHDRAWN

    @classmethod
    def all_of(cls, by_popularity: Rows) -> Self:
        """Return that all items are shown; `by_popularity` has each row once."""
        nothing = np.zeros(len(by_popularity), np.bool_)
        return cls(by_popularity, nothing, np.empty(0, np.int32))

    def hiding(
        self, withdrawals: Withdrawals, row_of: Callable[[ItemId], int | None], by_popularity: Rows
    ) -> ShownRows:
        """Return the rows with exactly these items withdrawn.

        Costs a microsecond for each item that is withdrawn or comes back, and some milliseconds
        for each million items of the version.

        >>> rows = ShownRows.all_of(np.array([2, 0, 1], np.int32))
        >>> gone = Withdrawals(frozenset({"b", "unknown"}), 9)
        >>> hidden = rows.hiding(gone, {"b": 2}.get, rows.popular)
        >>> hidden.popular, hidden.withdrawn
        (array([0, 1], dtype=int32), array([2], dtype=int32))
        """
        changed = {
            row: item_id in withdrawals.item_ids
            for item_id in self.withdrawals.item_ids ^ withdrawals.item_ids
            if (row := row_of(item_id)) is not None
        }
        if not changed:
            return ShownRows(self.popular, self.is_withdrawn, self.withdrawn, withdrawals)
        hidden = self.is_withdrawn.copy()
        hidden[list(changed)] = list(changed.values())
        return ShownRows(
            by_popularity[~hidden[by_popularity]],
            hidden,
            np.flatnonzero(hidden).astype(np.int32),
            withdrawals,
        )
