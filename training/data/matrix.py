"""The training matrix: who did what with which item, and how much it counts.

Pure NumPy: knows cells and weights; must not know where the events come from, `implicit` or the
evaluation.

A *cell* is one (user, item) pair. Of each kind of event, a cell keeps the latest one, so a producer
that sends a record twice, or a user who rates an item again, never counts double.
:mod:`training.data.gathering` makes the cells from the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.ids import ItemId, UserId
from registry.versions.manifest import Parameters

KINDS: Final = ("watch", "click", "rate")
"""What a user does with an item; of each kind, a cell has at most one event."""

DAY_SECONDS: Final = 86_400.0

ENTRIES_AT_ONCE: Final = 65_536
"""Entries of one block of rows, with some 6 MB of working memory; no result depends on it."""

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = NDArray[np.int32]
Values: TypeAlias = Mapping[str, NDArray[np.float32]]
"""By kind, of those that there are: (cells,) its latest event's value, NaN where there is none."""


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
    indptr
        (users + 1,) int64: user row u has the cells ``indptr[u]:indptr[u + 1]``.
    item
        (cells,) int32 item rows, ascending within a user.
    time
        (cells,) seconds since the epoch of the cell's latest event.
    values
        What the events said.
    newest
        Seconds since the epoch of the snapshot's latest event, from which ages are counted; 0 if
        there is none.
    """

    user_ids: tuple[UserId, ...]
    item_ids: tuple[ItemId, ...]
    titles: tuple[str | None, ...]
    indptr: NDArray[np.int64]
    item: Rows
    time: Floats
    values: Values
    newest: float

    @property
    def user(self) -> Rows:
        """(cells,) int32 user rows, ascending; made anew each time."""
        rows: Rows = np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))
        return rows

    @property
    def shape(self) -> tuple[int, int]:
        """Users and items."""
        return len(self.user_ids), len(self.item_ids)


def weights(cells: Cells, parameters: Parameters) -> NDArray[np.float32]:
    r"""Return how much each cell counts, by its events and its age.

    .. math::
        w = \mathrm{weigh} \cdot 2^{-a / h} \cdot [a \le d], \quad
        a = (t_{newest} - t_{cell}) / 86400

    with half-life h (``half_life_days``) and window d (``window_days``); a factor whose setting is
    0 is left out. The age is counted from the snapshot's newest event, not from the clock: the same
    ranges give the same weights at any time. A cell outside of the window weighs 0, so it teaches
    nothing, but counts as seen.

    Parameters
    ----------
    cells
        The cells.
    parameters
        Those of :func:`weigh`, ``half_life_days`` and ``window_days``.

    Returns
    -------
    (cells,) float32, at least 0; empty for no cells.
    """
    weight = weigh(cells.values, parameters)
    if parameters.half_life_days:
        weight *= np.exp2(-_age_days(cells) / parameters.half_life_days).astype(np.float32)
    if parameters.window_days:
        weight[_age_days(cells) > parameters.window_days] = 0
    return weight


def _age_days(cells: Cells) -> Floats:
    return (cells.newest - cells.time) / DAY_SECONDS


def weigh(values: Values, parameters: Parameters) -> NDArray[np.float32]:
    """Return how much the events of each cell count: the one mapping of events to weights.

    ``weight = max(0, weight_watch × watch + weight_click × click + (rating - rating_floor))``
    over the events that there are. A cell of weight 0 teaches nothing, but counts as seen; a
    rating below the floor speaks against a watch. The fit's confidence is ``alpha × weight``.

    Parameters
    ----------
    values
        By kind, NaN where there is no event.
    parameters
        Its ``weight_watch``, ``weight_click`` and ``rating_floor`` are read.

    Returns
    -------
    (cells,) float32, at least 0; empty for no cells.

    Examples
    --------
    >>> told = Parameters(8, 1, 0.1, 1.0, 42, weight_watch=1, weight_click=0.5, rating_floor=2)
    >>> values = {"watch": np.array([1, np.nan, 1]), "rate": np.array([np.nan, 5, 0.5])}
    >>> weigh(values, told).tolist()
    [1.0, 3.0, 0.0]
    """
    scales = (parameters.weight_watch, parameters.weight_click, 1.0)
    floors = (0.0, 0.0, parameters.rating_floor)
    total = np.zeros(len(next(iter(values.values()), ())), np.float32)
    for kind, scale, floor in zip(KINDS, scales, floors, strict=True):
        if kind in values:
            told = (scale * values[kind] - floor).astype(np.float32, copy=False)
            np.add(total, told, out=total, where=~np.isnan(told))
    return np.maximum(total, 0, out=total)


def trim(cells: Cells, parameters: Parameters) -> Cells:
    """Return the cells of the users and items with enough of them that teach.

    A user needs ``min_user_interactions`` items that teach (weight above 0), an item
    ``min_item_interactions`` users. What is left out takes its cells along, which may bring others
    below their minimum; so this is repeated until nothing changes. The result is the largest set in
    which everybody has enough (the bipartite k-core), and is the same whatever is looked at first;
    one pass would leave users and items behind that break the promise.

    Parameters
    ----------
    cells
        The cells.
    parameters
        The two minimums, and those of :func:`weights`. Minimums of 0 leave everything in.
    """
    least = (parameters.min_user_interactions, parameters.min_item_interactions)
    if not any(least):
        return cells
    teaches = weights(cells, parameters) > 0
    user, item = cells.user, cells.item
    users, items = (np.ones(rows, np.bool_) for rows in cells.shape)
    while True:
        counted = teaches & users[user] & items[item]
        enough = (
            np.bincount(user[counted], minlength=len(users)) >= least[0],
            np.bincount(item[counted], minlength=len(items)) >= least[1],
        )
        if (enough[0] >= users).all() and (enough[1] >= items).all():
            return _without_the_rest(only(cells, users[user] & items[item]))
        users, items = users & enough[0], items & enough[1]


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
    )


def _without_the_rest(cells: Cells) -> Cells:
    """Return the cells with the rows of those users and items that have one."""
    per_user = np.diff(cells.indptr)
    users, items = per_user > 0, np.bincount(cells.item, minlength=cells.shape[1]) > 0
    return replace(
        cells,
        user_ids=_at(cells.user_ids, users),
        item_ids=_at(cells.item_ids, items),
        titles=_at(cells.titles, items),
        indptr=starts_of(per_user[users]),
        item=(np.cumsum(items, dtype=np.int32) - np.int32(1))[cells.item],
    )


def _at(values: tuple[Any, ...], chosen: Mask) -> tuple[Any, ...]:
    return tuple(values[row] for row in np.flatnonzero(chosen))


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


def weighted(cells: Cells, parameters: Parameters) -> Csr:
    """Return the cells that teach as a users × items matrix of their weights."""
    weight = weights(cells, parameters)
    return csr(cells, weight > 0, weight)


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
