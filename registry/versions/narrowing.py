"""Narrowing: the item rows that a request leaves to be ranked.

Pure. Must not know who asks, or how the rows are ranked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from registry.catalogue.label_masks import LabelMasks
from registry.ids import ItemId
from registry.scoring.kernels import ItemRows
from registry.wire.requests import Request


class Narrowed(NamedTuple):
    """Rows to rank, ascending, each once, and how many candidates the version does not know."""

    rows: ItemRows
    unknown_items: int = 0

    def less(self, hidden: ItemRows, is_withdrawn: npt.NDArray[np.bool_]) -> ItemRows:
        """Return the rows that may show."""
        rows = self.rows[~is_withdrawn[self.rows]]
        return rows[~np.isin(rows, hidden)] if len(hidden) else rows


def narrowed(
    request: Request, masks: LabelMasks, row_of: Callable[[ItemId], int | None]
) -> Narrowed | None:
    """Return what a request leaves; None: the whole catalogue.

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
    if request.allow is not None or request.exclude is not None:
        shown = masks.shown(request.allow, request.exclude)
    if request.candidates is None:
        return None if shown is None else Narrowed(np.flatnonzero(shown).astype(np.int32))
    known = [row_of(item_id) for item_id in dict.fromkeys(request.candidates)]
    rows = np.array(sorted(row for row in known if row is not None), np.int32)
    return Narrowed(rows if shown is None else rows[shown[rows]], known.count(None))
