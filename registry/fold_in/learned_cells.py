"""Learned cells: what a version keeps of each user's events, so that later ones merge exactly.

Pure NumPy: knows arrays. Must not know files, ids of users, or what is fitted.

Beside each seen item lie kind, value and time of the pair's latest event: 13 bytes, or 9 where all
times are whole seconds. The latest events of its other kinds are *further* ones, 21 bytes each. No
array is read but for the users that are merged, so that none need be in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.bm25_statistics import SnapshotBm25
from registry.errors import DamagedVersion
from registry.ids import UserId
from registry.latest_rows import Floats, Offsets, ranges
from registry.undo_events import NOTHING_UNDONE, TAKEN_BACK, UndoneEvents, check_undone

Times: TypeAlias = NDArray[np.float64] | NDArray[np.int32]

AT_ONCE: Final = 1_000_000
"""Numbers that are checked at once: little memory, and other threads get their turn."""


class LearnedEvents(NamedTuple):
    """The latest events of some users, in columns.

    Parameters
    ----------
    user
        (events,) place of the user among those asked for.
    item
        (events,) int32 item rows.
    kind
        (events,) place of the kind in the version's kinds.
    value
        (events,) float32; `TAKEN_BACK` for an undo.
    time
        (events,) seconds since the epoch.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int32]
    kind: NDArray[np.int8]
    value: NDArray[np.float32]
    time: Floats


def joined_events(first: LearnedEvents, then: LearnedEvents) -> LearnedEvents:
    """Return both, one after the other."""
    columns: list[tuple[Any, Any]] = list(zip(first, then, strict=True))
    return LearnedEvents(*(np.concatenate(pair) for pair in columns))


class FurtherEvents(NamedTuple):
    """The latest events of the kinds that are not their cell's latest.

    Parameters
    ----------
    cell
        (n,) int64 cells, ascending.
    kind, value, time
        (n,) as of :class:`LearnedEvents`.
    """

    cell: NDArray[np.int64]
    kind: NDArray[np.int8]
    value: NDArray[np.float32]
    time: Times


@dataclass(frozen=True, slots=True, eq=False)
class LearnedCells:
    """What a version keeps of the events that it learned from.

    Parameters
    ----------
    kinds
        Kinds of events that have a weight.
    kind, value, time
        (cells,) int8, float32, and float64 or int32 seconds since the epoch: the latest event of
        each seen item, in their order.
    further
        The latest events of other kinds.
    newest
        Seconds since the epoch of the snapshot's latest event.
    bm25
        The snapshot's statistics, of each kind that needs them.
    forgotten
        Seconds since the epoch of the latest `forget` of each user who sent one.
    undone
        What was taken back: an older event that arrives late must not bring it back.
    """

    kinds: tuple[str, ...]
    kind: NDArray[np.int8]
    value: NDArray[np.float32]
    time: Times
    further: FurtherEvents
    newest: float = 0.0
    bm25: Mapping[str, SnapshotBm25] = field(default_factory=dict)
    forgotten: Mapping[UserId, float] = field(default_factory=dict)
    undone: UndoneEvents = NOTHING_UNDONE

    def events_of(
        self, rows: NDArray[np.int64], seen_indptr: Offsets, seen_items: NDArray[np.int32]
    ) -> LearnedEvents:
        """Return the learned events of some users, and what undid others.

        Parameters
        ----------
        rows
            (users,) rows; -1 for one who has none.
        seen_indptr, seen_items
            The version's seen items.
        """
        known = rows >= 0
        starts = np.where(known, seen_indptr[rows], 0)
        lengths = np.where(known, seen_indptr[rows + 1] - starts, 0)
        cell = ranges(starts, lengths)
        user = np.repeat(np.arange(len(rows)), lengths)
        found = _events(user, seen_items[cell], self.kind, self.value, self.time, cell)
        if len(self.undone.user):
            found = joined_events(found, self._undone_of(rows))
        if not len(self.further.cell):
            return found
        first = np.searchsorted(self.further.cell, starts)
        many = np.searchsorted(self.further.cell, starts + lengths) - first
        place = ranges(first, many)
        user, cell = np.repeat(np.arange(len(rows)), many), self.further.cell[place]
        return joined_events(found, _events(user, seen_items[cell], *self.further[1:], place))

    def _undone_of(self, rows: NDArray[np.int64]) -> LearnedEvents:
        user, place = self.undone.of(rows)
        value = np.full(len(place), TAKEN_BACK, np.float32)
        _, item, kind, time = self.undone
        return LearnedEvents(user, item[place], kind[place], value, time[place])


def _events(
    user: Offsets,
    item: NDArray[np.int32],
    kind: NDArray[np.int8],
    value: NDArray[np.float32],
    time: Times,
    place: Offsets,
) -> LearnedEvents:
    return LearnedEvents(
        user, item, kind[place], value[place], time[place].astype(np.float64, copy=False)
    )


DTYPES: Final[Mapping[str, tuple[tuple[np.dtype[Any], ...], int]]] = {
    "learned_kinds": ((np.dtype(np.int8),), 1),
    "learned_values": ((np.dtype(np.float32),), 1),
    "learned_times": ((np.dtype(np.float64), np.dtype(np.int32)), 1),
    "further_cells": ((np.dtype(np.int64),), 1),
    "further_kinds": ((np.dtype(np.int8),), 1),
    "further_values": ((np.dtype(np.float32),), 1),
    "further_times": ((np.dtype(np.float64), np.dtype(np.int32)), 1),
    "bm25_items": ((np.dtype(np.float64),), 2),
}
"""dtypes and number of dimensions of each array of :func:`columns_of`."""


def columns_of(learned: LearnedCells) -> dict[str, NDArray[Any]]:
    """Return the arrays by name; ``bm25_items`` has a row for each kind of ``bm25``."""
    columns = (learned.kind, learned.value, learned.time, *learned.further)
    items = [known.of_items for known in learned.bm25.values()]
    bm25 = np.stack(items) if items else np.empty((0, 0))
    return dict(zip(DTYPES, (*columns, bm25), strict=True))


def from_columns(
    columns: Mapping[str, NDArray[Any]],
    kinds: tuple[str, ...],
    newest: float,
    mean_lengths: Mapping[str, float],
    forgotten: Mapping[UserId, float],
) -> LearnedCells:
    """Return what :func:`columns_of` took apart.

    Parameters
    ----------
    columns
        The arrays by name.
    kinds, newest, forgotten
        As they are.
    mean_lengths
        Of each kind of ``bm25``, in the order of the rows.

    Raises
    ------
    DamagedVersion
        If there are not as many rows.
    """
    kind, value, time, *further, items = (columns[name] for name in DTYPES)
    _require(
        "bm25_items", len(items) == len(mean_lengths), f"{len(items)} rows, not {len(mean_lengths)}"
    )
    rows = zip(mean_lengths.items(), items, strict=True)
    bm25 = {kind: SnapshotBm25(of_items, mean) for (kind, mean), of_items in rows}
    return LearnedCells(kinds, kind, value, time, FurtherEvents(*further), newest, bm25, forgotten)


def narrowed(time: Times) -> Times:
    """Return the times as int32 if that loses nothing.

    >>> narrowed(np.array([1.5e9, 7.0])).dtype, narrowed(np.array([0.5])).dtype
    (dtype('int32'), dtype('float64'))
    """
    for start in range(0, len(time), AT_ONCE):
        piece = time[start : start + AT_ONCE]
        whole = bool((piece == np.rint(piece)).all())
        if not whole or bool((np.abs(piece) > np.iinfo(np.int32).max).any()):
            return time
    return time.astype(np.int32)


def check_learned(learned: LearnedCells, cells: int, items: int) -> None:
    """Check what merging relies on.

    Parameters
    ----------
    learned
        What to check.
    cells, items
        How many seen items, and how many items there are.

    Raises
    ------
    DamagedVersion
        Naming the array, what was seen and what is allowed.
    """
    for name, column in columns_of(learned).items():
        dtypes, dimensions = DTYPES[name]
        _require(name, column.dtype in dtypes, f"dtype {column.dtype}, {dtypes} are allowed")
        _require(name, column.ndim == dimensions, f"{column.ndim} dimensions, not {dimensions}")
    _require("kinds", len(set(learned.kinds)) == len(learned.kinds), "a kind occurs twice")
    _require("newest", bool(np.isfinite(learned.newest)), f"{learned.newest} is not finite")
    further = learned.further
    for name, columns, needed in (
        ("learned", (learned.kind, learned.value, learned.time), cells),
        ("further", further[1:], len(further.cell)),
    ):
        lengths = [len(column) for column in columns]
        _require(name, lengths == [needed] * 3, f"{lengths} kinds, values, times; not {needed}")
        _check_columns(name, columns, len(learned.kinds))
    _require(
        "further_cells",
        bool(not len(further.cell) or (further.cell[0] >= 0 and further.cell[-1] < cells))
        and all(bool((np.diff(piece) >= 0).all()) for piece in _pieces(further.cell)),
        f"must rise from 0 to {cells - 1} at most",
    )
    check_undone(learned.undone, len(learned.kinds), items)
    for user, until in learned.forgotten.items():
        _require("forgotten", bool(np.isfinite(until)), f"user {user!r} until {until}")
    for kind, known in learned.bm25.items():
        _require("bm25", kind in learned.kinds, f"{kind!r} is no kind of this version")
        _require("bm25", len(known.of_items) == items, f"{len(known.of_items)} of {items} items")
        finite = bool(np.isfinite(known.of_items).all() and known.mean_length > 0)
        _require("bm25", finite, f"{kind!r} has numbers that are not finite")


def _check_columns(name: str, columns: tuple[NDArray[Any], ...], kinds: int) -> None:
    kind, value, time = columns
    _require(
        f"{name}_kinds",
        all(bool(piece.min() >= 0 and piece.max() < kinds) for piece in _pieces(kind)),
        f"names kinds outside of 0..{kinds - 1}",
    )
    for column, numbers in (("values", value), ("times", time)):
        finite = all(bool(np.isfinite(piece).all()) for piece in _pieces(numbers))
        _require(f"{name}_{column}", finite, "holds numbers that are not finite")


def _pieces(numbers: NDArray[Any]) -> list[NDArray[Any]]:
    # one number of the next piece too, for differences
    return [numbers[start : start + AT_ONCE + 1] for start in range(0, len(numbers), AT_ONCE)]


def _require(name: str, holds: bool, complaint: str) -> None:
    if not holds:
        raise DamagedVersion(f"{name}: {complaint}")
