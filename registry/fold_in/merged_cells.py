"""Merging: a user's learned cells and his fresh events, as training would see them together.

Pure NumPy. Must not know files, Kafka, or what is made of the weights. It is training's rule
(`training.data.cells_from_rows`) for a few users: of each item and kind the latest event by time
counts, of equal times the one that stands further on, unless it is an undo
(`registry.undo_events`). Learned events stand before fresh ones.

What the version does not know is left out: items without a row, and kinds without a weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.bm25_statistics import CellPlaces
from registry.fold_in.learned_cells import LearnedCells, LearnedEvents, joined_events
from registry.fresh.fresh_events import FreshEvent
from registry.fresh.fresh_forgetting import FreshHistory
from registry.ids import ItemId
from registry.latest_rows import Floats, Offsets, begins, largest_of_each
from registry.undo_events import TAKEN_BACK, latest_events
from registry.weighing import Values, Weighing


class UserEvents(NamedTuple):
    """One user to merge.

    Parameters
    ----------
    row
        In the version's arrays; None: it does not know the user.
    history
        His fresh events.
    """

    row: int | None
    history: FreshHistory


class MergedCells(NamedTuple):
    """The cells of some users, by user, then item row.

    Parameters
    ----------
    indptr
        (users + 1,) where each user's cells begin.
    item
        (cells,) int32 item rows.
    time
        (cells,) seconds since the epoch of the cell's latest event.
    values
        Of each kind what its latest event said, NaN where there is none.
    """

    indptr: Offsets
    item: NDArray[np.int32]
    time: Floats
    values: Values

    def weigh(self, weighing: Weighing) -> NDArray[np.float32]:
        """Return (cells,) what each counts; 0: not learned, but counted as seen."""
        where = None
        if weighing.bm25:
            users = len(self.indptr) - 1
            user = np.repeat(np.arange(users), np.diff(self.indptr))
            where = CellPlaces(user, self.item, users)
        return weighing.of(self.values, self.time, where)


def merge(
    users: Sequence[UserEvents],
    learned: LearnedCells,
    seen_indptr: Offsets,
    seen_items: NDArray[np.int32],
    items: int,
    item_row: Callable[[ItemId], int | None],
    undoes: Mapping[str, str] | None = None,
) -> MergedCells:
    """Return the cells of some users of one version.

    Parameters
    ----------
    users
        Any number; those of whom nothing is left have no cells.
    learned
        What the version learned.
    seen_indptr, seen_items
        Its seen items.
    items
        How many items it has.
    item_row
        Returns an item's row; None: it has none.
    undoes
        By kind of undo, the kind that it takes back.
    """
    rows = [-1 if user.row is None or user.history.forgotten else user.row for user in users]
    before = learned.events_of(np.array(rows, np.int64), seen_indptr, seen_items)
    code_by_kind = {kind: code for code, kind in enumerate(learned.kinds)}
    histories = [user.history.events for user in users]
    fresh = _fresh_events(histories, code_by_kind, undoes or {}, item_row)
    user, item, kind, value, time = joined_events(before, fresh)
    kinds = max(1, len(learned.kinds))
    key = (user * max(1, items) + item) * kinds + kind
    latest = latest_events(key, time, value).counting
    pair, kind = np.divmod(key[latest], kinds)
    first = begins(pair)
    starts, cell = np.flatnonzero(first), np.cumsum(first) - 1
    value, time = value[latest], time[latest]
    values = {}
    for code in np.unique(kind).tolist():
        column = np.full(len(starts), np.nan, np.float32)
        column[cell[kind == code]] = value[kind == code]
        values[learned.kinds[code]] = column
    owner, item = np.divmod(pair[starts], max(1, items))
    indptr = np.searchsorted(owner, np.arange(len(users) + 1))
    return MergedCells(indptr, item.astype(np.int32), largest_of_each(time, starts), values)


def _fresh_events(
    histories: Sequence[Sequence[FreshEvent]],
    code_by_kind: Mapping[str, int],
    undoes: Mapping[str, str],
    item_row: Callable[[ItemId], int | None],
) -> LearnedEvents:
    known = [
        (place, row, code, TAKEN_BACK if event.event in undoes else event.value, event.time)
        for place, events in enumerate(histories)
        for event in events
        if event.item_id is not None
        and (code := code_by_kind.get(undoes.get(event.event, event.event))) is not None
        and (row := item_row(event.item_id)) is not None
    ]
    columns = zip(*known, strict=True) if known else ((),) * 5
    dtypes = (np.int64, np.int32, np.int8, np.float32, np.float64)
    return LearnedEvents(
        *(np.array(column, dtype) for column, dtype in zip(columns, dtypes, strict=True))
    )
