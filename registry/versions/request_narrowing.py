"""Narrowing: the item rows that a request leaves to be ranked.

Pure. Must not know who asks, or how the rows are ranked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from registry.catalogue.label_masks import LabelMasks
from registry.ids import ItemId
from registry.scoring.kernels import ItemRows
from registry.wire.requests import Request


class Narrowed(NamedTuple):
    """Rows to rank, ascending, each once."""

    rows: ItemRows

    def less(self, hidden: ItemRows, is_withdrawn: npt.NDArray[np.bool_]) -> ItemRows:
        """Return the rows that may show."""
        is_hidden = is_withdrawn.copy()
        is_hidden[hidden] = True
        return self.rows[~is_hidden[self.rows]]


def narrowed(
    request: Request, masks: LabelMasks, row_of: Callable[[ItemId], int | None]
) -> Narrowed | None:
    """Return what a request leaves; None: the whole catalogue, best by the user's vector.

    Parameters
    ----------
    request
        Its ``candidates``, ``allow`` and ``exclude`` count, together.
    masks
        Of the version's labels.
    row_of
        Returns an item's row; None: the version does not know it.
    """
    shown = None
    if request.allow is not None or request.exclude is not None or request.like is not None:
        shown = masks.shown(request.allow, request.exclude)
    if request.candidates is None:
        return None if shown is None else Narrowed(np.flatnonzero(shown).astype(np.int32))
    rows = rows_of(request.candidates, row_of)
    return Narrowed(rows if shown is None else rows[shown[rows]])


def rows_of(item_ids: Iterable[ItemId], row_of: Callable[[ItemId], int | None]) -> ItemRows:
    """Return the rows of the items that the version knows, ascending, each once."""
    known = {row for item_id in item_ids if (row := row_of(item_id)) is not None}
    return np.array(sorted(known), np.int32)
