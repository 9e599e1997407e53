"""The training matrix: who did what with which item.

Pure NumPy: knows cells; must not know where the events come from, what they weigh, `implicit` or
the evaluation.

A *cell* is one (user, item) pair. Of each kind of event, a cell keeps the latest one, so a producer
that sends a record twice, or a user who rates an item again, never counts double.
:mod:`training.data.cells_from_rows` makes the cells from the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.ids import ItemId, UserId
from registry.weighing import Values

ENTRIES_AT_ONCE: Final = 65_536
"""Entries of one block of rows, with some 6 MB of working memory; no result depends on it."""

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = NDArray[np.int32]


class Csr(NamedTuple):
    """A sparse matrix by rows: row r has `indices[indptr[r]:indptr[r + 1]]`.

    Parameters
    ----------
    indptr
        (rows + 1,) int64.
    indices
        (entries,) int32, ascending within a row.
    values
        (entries,) float32; ones that take no memory, where only the places count.
    shape
        Rows (users) and columns (items).
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    shape: tuple[int, int]

    @property
    def filled(self) -> tuple[int, int]:
        """How many rows and how many columns have entries."""
        return int((np.diff(self.indptr) > 0).sum()), len(np.unique(self.indices))


class Factors(NamedTuple):
    """What a fit makes of such a matrix: float32, (users, factors) and (items, factors)."""

    users: NDArray[np.float32]
    items: NDArray[np.float32]


class OlderTimes(NamedTuple):
    """Of one kind of event: where its time is older than its cell's, which is that of another kind.

    Parameters
    ----------
    cell
        (n,) int64, ascending.
    time
        (n,) seconds since the epoch.
    """

    cell: NDArray[np.int64]
    time: Floats


class UndoneCells(NamedTuple):
    """Of one kind of event: pairs whose latest event of the kind is an undo.

    Parameters
    ----------
    user, item
        (n,) int32 rows. The pair is a cell only if it has events of other kinds.
    time
        (n,) seconds since the epoch.
    """

    user: Rows
    item: Rows
    time: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Every (user, item) pair that an event named, in order of user row, then item row.

    Parameters
    ----------
    user_ids, item_ids
        Sorted ids; an id's place is its row.
    titles
        The latest title of each item, by row; None where no event told one.
    indptr
        (users + 1,) int64: user row u has the cells ``indptr[u]:indptr[u + 1]``.
    item
        (cells,) int32 item rows, ascending within a user.
    time
        (cells,) seconds since the epoch of the cell's latest event.
    values
        What the events said: a column for each kind that has a weight and occurs.
    newest
        Seconds since the epoch of the snapshot's latest event, from which ages are counted; 0 if
        there is none.
    older
        By kind, where the kind's own time is older than the cell's.
    forgotten
        Seconds since the epoch of the latest `forget` of each user who sent one.
    undone
        By kind, what was taken back. A user who took everything back has a row without cells.
    """

    user_ids: tuple[UserId, ...]
    item_ids: tuple[ItemId, ...]
    titles: tuple[str | None, ...]
    indptr: NDArray[np.int64]
    item: Rows
    time: Floats
    values: Values
    newest: float
    older: Mapping[str, OlderTimes] = field(default_factory=dict)
    forgotten: Mapping[UserId, float] = field(default_factory=dict)
    undone: Mapping[str, UndoneCells] = field(default_factory=dict)

    @property
    def user(self) -> Rows:
        """(cells,) int32 user rows, ascending; computed at each call."""
        rows: Rows = np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))
        return rows

    @property
    def shape(self) -> tuple[int, int]:
        """Users and items."""
        return len(self.user_ids), len(self.item_ids)


def only(cells: Cells, chosen: Mask) -> Cells:
    """Return the `chosen` cells, with the rows of all users and items.

    Parameters
    ----------
    cells
        All cells.
    chosen
        (cells,) which of them.
    """
    return replace(
        cells,
        indptr=_chosen_starts(cells, chosen),
        item=cells.item[chosen],
        time=cells.time[chosen],
        values={kind: column[chosen] for kind, column in cells.values.items()},
        older={kind: _chosen_times(times, chosen) for kind, times in cells.older.items()},
    )


def _chosen_times(times: OlderTimes, chosen: Mask) -> OlderTimes:
    kept = chosen[times.cell]
    place = np.cumsum(chosen, dtype=np.int64) - 1
    return OlderTimes(place[times.cell[kept]], times.time[kept])


def csr(cells: Cells, chosen: Mask, values: NDArray[np.float32] | None = None) -> Csr:
    """Return the `chosen` cells as a users × items matrix, with `values` or ones.

    If all are chosen, the matrix shares its arrays with the cells.

    Parameters
    ----------
    cells
        All cells.
    chosen
        (cells,) which of them.
    values
        (cells,) their values; None for ones.
    """
    if chosen.all():
        indptr, item = cells.indptr, cells.item
    else:
        indptr, item = _chosen_starts(cells, chosen), cells.item[chosen]
        values = None if values is None else values[chosen]
    if values is None:
        values = np.broadcast_to(np.float32(1), len(item))
    return Csr(indptr, item, values, cells.shape)


def popularity(cells: Cells, chosen: Mask) -> Floats:
    """Return (items,): how many users have a `chosen` cell with each item."""
    counted = np.bincount(csr(cells, chosen).indices, minlength=cells.shape[1])
    return counted.astype(np.float64)


def starts_of(lengths: NDArray[np.integer | np.bool_]) -> NDArray[np.int64]:
    """Return where each of some runs begins, and where the last one ends.

    >>> starts_of(np.array([2, 0, 3])).tolist()
    [0, 2, 2, 5]
    """
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def blocks(indptr: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Yield the rows in blocks ``[first, last)`` of at most `most` entries, or of one row.

    >>> list(blocks(np.array([0, 2, 3, 9, 9]), 3))
    [(0, 2), (2, 3), (3, 4)]
    """
    first, rows = 0, len(indptr) - 1
    while first < rows:
        last = int(np.searchsorted(indptr, indptr[first] + most, side="right")) - 1
        last = max(last, first + 1)
        yield first, last
        first = last


def _chosen_starts(cells: Cells, chosen: Mask) -> NDArray[np.int64]:
    per_user = np.empty(cells.shape[0], np.int64)
    for first, last in blocks(cells.indptr, ENTRIES_AT_ONCE):
        bounds = cells.indptr[first : last + 1]
        before = starts_of(chosen[bounds[0] : bounds[-1]])
        per_user[first:last] = np.diff(before[bounds - bounds[0]])
    return starts_of(per_user)
