"""From events to the training matrix: who did what with which item, and how much it counts.

Pure: knows events, ids and weights; must not know Kafka, files, `implicit` or the evaluation.

A *cell* is one (user, item) pair. Of each kind of event, a cell keeps the latest one (by timestamp,
then partition and offset), so a producer that sends a record twice, or a user who rates an item
again, never counts double. Ids are sorted, integers before strings; so the same set of events gives
the same bytes whatever order the partitions arrived in.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.errors import RecordError
from registry.ids import ItemId, UserId
from registry.manifest import Parameters
from registry.records import Interaction

KINDS: Final = ("watch", "click", "rate")
"""Columns of :attr:`Cells.values`."""

LARGEST_VALUE: Final = 1e6
"""Larger values are refused: one of them would drown all others and overflow the fit's float32."""

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


class Csr(NamedTuple):
    """A sparse matrix by rows: row r has `indices[indptr[r]:indptr[r + 1]]`.

    Parameters
    ----------
    indptr
        (rows + 1,) int64.
    indices
        (entries,) int32, ascending within a row.
    values
        (entries,) float32.
    shape
        Rows (users) and columns (items).
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    shape: tuple[int, int]


class Factors(NamedTuple):
    """What a fit makes of such a matrix: float32, (users, factors) and (items, factors)."""

    users: NDArray[np.float32]
    items: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Every (user, item) pair that an event named, in order of user row, then item row.

    Parameters
    ----------
    user_ids, item_ids
        Sorted ids; an id's place is its row.
    titles
        The latest title of each item, by row; None where no event told one.
    user, item
        (cells,) int64 rows.
    time
        (cells,) seconds since the epoch of the cell's latest event.
    values
        (cells, 3) value of the latest event of each of `KINDS`, NaN where there is none.
    """

    user_ids: tuple[UserId, ...]
    item_ids: tuple[ItemId, ...]
    titles: tuple[str | None, ...]
    user: NDArray[np.int64]
    item: NDArray[np.int64]
    time: Floats
    values: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """Users and items."""
        return len(self.user_ids), len(self.item_ids)


def weigh(values: Floats, parameters: Parameters) -> NDArray[np.float32]:
    """Return how much each cell counts: the one mapping of events to weights.

    ``weight = max(0, weight_watch × watch + weight_click × click + (rating - rating_floor))``
    over the events that there are. A cell of weight 0 teaches nothing, but counts as seen; a
    rating below the floor speaks against a watch. The fit's confidence is ``alpha × weight``.

    Parameters
    ----------
    values
        (cells, 3), columns as in `KINDS`, NaN where there is no event.
    parameters
        Its ``weight_watch``, ``weight_click`` and ``rating_floor`` are read.

    Returns
    -------
    (cells,) float32, at least 0; empty for no cells.

    Examples
    --------
    >>> told = Parameters(8, 1, 0.1, 1.0, 42, weight_watch=1, weight_click=0.5, rating_floor=2)
    >>> weigh(np.array([[1, np.nan, np.nan], [np.nan, 1, 5], [1, np.nan, 0.5]]), told).tolist()
    [1.0, 3.5, 0.0]
    """
    watch, click, rating = values.T
    parts = (
        parameters.weight_watch * watch,
        parameters.weight_click * click,
        rating - parameters.rating_floor,
    )
    total: Floats = np.nansum(parts, axis=0)
    return np.maximum(total, 0).astype(np.float32)


def csr(cells: Cells, chosen: Mask, values: NDArray[np.float32] | None = None) -> Csr:
    """Return the `chosen` cells as a users × items matrix, with `values` or ones.

    Parameters
    ----------
    cells
        All cells.
    chosen
        (cells,) which of them.
    values
        (cells,) their values; None for ones.
    """
    per_user = np.bincount(cells.user[chosen], minlength=cells.shape[0])
    indptr = np.concatenate(([0], np.cumsum(per_user))).astype(np.int64)
    entries = int(indptr[-1])
    kept = np.ones(entries, np.float32) if values is None else values[chosen]
    return Csr(indptr, cells.item[chosen].astype(np.int32), kept, cells.shape)


def popularity(cells: Cells, chosen: Mask) -> Floats:
    """Return (items,): how many users have a `chosen` cell with each item."""
    return np.bincount(cells.item[chosen], minlength=cells.shape[1]).astype(np.float64)


class _Latest(NamedTuple):
    at: tuple[float, int, int]
    title: str


class EventLog:
    """Gathers events as they arrive, in columns of a few bytes each, in any order."""

    def __init__(self) -> None:
        self._user_code: dict[UserId, int] = {}
        self._item_code: dict[ItemId, int] = {}
        self._titles: dict[int, _Latest] = {}
        self._user, self._item, self._kind = array("q"), array("q"), array("b")
        self._value, self._time = array("d"), array("d")
        self._partition, self._offset = array("i"), array("q")

    def __len__(self) -> int:
        return len(self._user)

    def add(self, event: Interaction, recorded_at: float, partition: int, offset: int) -> None:
        """Take in one event.

        Parameters
        ----------
        event
            The decoded record.
        recorded_at
            The record's own time, seconds since the epoch; counts if the event has none.
        partition, offset
            Where the record stands; they decide between events of the same time.

        Raises
        ------
        RecordError
            ``no_rating`` for a `rate` without a value, ``out_of_range`` for a value beyond
            ±`LARGEST_VALUE`. Nothing has been taken in then.
        """
        value = _value_of(event)
        time = recorded_at if event.timestamp is None else event.timestamp
        item = self._item_code.setdefault(event.item_id, len(self._item_code))
        self._user.append(self._user_code.setdefault(event.user_id, len(self._user_code)))
        self._item.append(item)
        self._kind.append(KINDS.index(event.event))
        self._value.append(value)
        self._time.append(time)
        self._partition.append(partition)
        self._offset.append(offset)
        if event.title is not None:
            title = _Latest((time, partition, offset), event.title)
            self._titles[item] = max(title, self._titles.get(item, title))

    def cells(self) -> Cells:
        """Return what has been taken in so far, one cell per (user, item) pair."""
        user_ids, user = _sorted_ids(self._user_code, self._user)
        item_ids, item = _sorted_ids(self._item_code, self._item)
        kind, time = np.array(self._kind, np.int64), np.array(self._time, np.float64)
        partition, offset = np.array(self._partition), np.array(self._offset)
        order = np.lexsort((offset, partition, time, kind, item, user))
        user, item, kind, time = user[order], item[order], kind[order], time[order]
        first = _changes(user, item)
        cell = np.cumsum(first) - 1
        values = np.full((int(first.sum()), len(KINDS)), np.nan)
        latest = np.roll(_changes(cell, kind), -1)  # the last of a run stands before the next one
        values[cell[latest], kind[latest]] = np.array(self._value, np.float64)[order][latest]
        starts = np.flatnonzero(first)
        return Cells(
            user_ids=user_ids,
            item_ids=item_ids,
            titles=tuple(
                latest_title.title if (latest_title := self._titles.get(code)) else None
                for code in (self._item_code[item_id] for item_id in item_ids)
            ),
            user=user[starts],
            item=item[starts],
            time=np.maximum.reduceat(time, starts) if len(starts) else time,
            values=values,
        )


def _value_of(event: Interaction) -> float:
    if event.value is None and event.event == "rate":
        raise RecordError("Interaction: a rate event needs a value, the rating", "no_rating")
    value = 1.0 if event.value is None else event.value
    if abs(value) > LARGEST_VALUE:
        raise RecordError(
            f"Interaction: value {value:g}, must be within ±{LARGEST_VALUE:g}", "out_of_range"
        )
    return value


def _sorted_ids(
    codes: Mapping[UserId, int], column: array[int]
) -> tuple[tuple[UserId, ...], NDArray[np.int64]]:
    """Return the ids, integers before strings, and the column of codes as rows among them."""
    ids = tuple(sorted(codes, key=lambda one: (isinstance(one, str), one)))
    row = np.empty(len(ids), np.int64)
    row[[codes[one] for one in ids]] = np.arange(len(ids))
    return ids, row[np.array(column, np.int64)]


def _changes(*columns: NDArray[np.int64]) -> Mask:
    """Return (n,): where a row of the columns differs from the one before; true for the first."""
    changed = np.ones(len(columns[0]), np.bool_)
    if len(changed):
        changed[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return changed
