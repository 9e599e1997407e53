"""Undo events: an ``unlike`` takes the ``like`` back, and a rating is withdrawn.

Pure NumPy: one rule, for training and for later events. Must not know which kinds there are
(`registry.wire.training_records.event_weights`), where events are kept, or what they weigh.

**Of each user, item and kind, the latest event by time counts, an undo among them; if that is an
undo, none counts.** Everything else follows:

- Time decides, not arrival: an undo that arrives before what it takes back, or long after, does the
  same. Of equal times the one that stands further on is the later one.
- An undo takes back all earlier events of its kind: the latest alone counted, and that is gone.
- What comes after an undo counts again. An undo without an earlier event changes nothing.
- Other kinds of the same user and item stay. If none is left, the item is not seen any more, and
  the age of a cell is that of what is left.
- A `forget` removes an undo like any other event.

Among the events of the kind that it takes back, an undo is one whose value is `TAKEN_BACK`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.errors import DamagedVersion
from registry.latest_rows import Floats, Offsets, begins, latest_of_each, ranges, same_as_latest

TAKEN_BACK: Final = float("nan")
"""No event has this value: JSON cannot spell it."""

Keys = NDArray[np.int64]
Values32 = NDArray[np.float32]


class LatestEvents(NamedTuple):
    """Which rows count, ascending by key.

    Parameters
    ----------
    counting
        The latest row of each key whose latest is an event.
    undos
        Of the others it is an undo.
    """

    counting: Offsets
    undos: Offsets


def latest_events(key: Keys, time: Floats, value: Values32) -> LatestEvents:
    """Return what counts of some events.

    Parameters
    ----------
    key
        (rows,) a number for each user, item and kind, where an undo has that of the kind that it
        takes back.
    time
        (rows,) seconds since the epoch.
    value
        (rows,) `TAKEN_BACK` for an undo.

    Examples
    --------
    >>> like_and_undo, times = np.array([1.0, TAKEN_BACK], np.float32), np.array([5.0, 6.0])
    >>> [rows.tolist() for rows in latest_events(np.array([7, 7]), times, like_and_undo)]
    [[], [1]]
    >>> [rows.tolist() for rows in latest_events(np.array([7, 7]), -times, like_and_undo)]
    [[0], []]
    """
    latest = latest_of_each(key, time)
    taken_back = np.isnan(value[latest])
    if not taken_back.any():
        return LatestEvents(latest, latest[:0])
    return LatestEvents(latest[~taken_back], latest[taken_back])


class Repeats(NamedTuple):
    """What some events hold beside those that count.

    Parameters
    ----------
    repeated
        Events that a later one of the same key replaced.
    duplicates
        How many of these have the same time as the one that did.
    undos
        Undo events.
    undone
        Keys with an event, of which none counts.
    found_nothing
        Undo events without an earlier event of their key.
    """

    repeated: int
    duplicates: int
    undos: int = 0
    undone: int = 0
    found_nothing: int = 0


def repeats_of(key: Keys, time: Floats, value: Values32, latest: LatestEvents) -> Repeats:
    """Return what :func:`latest_events` left out of the same rows.

    >>> key, time = np.array([5, 5, 5, 6]), np.array([1.0, 2.0, 3.0, 1.0])
    >>> value = np.array([1, 1, TAKEN_BACK, TAKEN_BACK], np.float32)
    >>> repeats_of(key, time, value, latest_events(key, time, value))
    Repeats(repeated=1, duplicates=0, undos=2, undone=1, found_nothing=1)
    """
    is_undo = np.isnan(value)
    if not is_undo.any():
        found = latest.counting
        return Repeats(len(key) - len(found), same_as_latest(key, time, found))
    own_key, own_time = key[~is_undo], time[~is_undo]
    own = latest_of_each(own_key, own_time)
    return Repeats(
        len(own_key) - len(own),
        same_as_latest(own_key, own_time, own),
        int(is_undo.sum()),
        len(own) - len(latest.counting),
        _without_earlier(key, time, is_undo),
    )


def _without_earlier(key: Keys, time: Floats, is_undo: NDArray[np.bool_]) -> int:
    """Return how many undo events come before all events of their key."""
    order = np.lexsort((time, key))  # stable: of equal times the row further on is the later one
    undo = is_undo[order]
    before = np.cumsum(~undo)
    starts = np.flatnonzero(begins(key[order]))
    at_start: NDArray[np.int64] = np.repeat(
        before[starts] - ~undo[starts], np.diff(starts, append=len(key))
    )
    return int((undo & (before == at_start)).sum())


class UndoneEvents(NamedTuple):
    """The undo events that are the latest of their user, item and kind, by user row.

    Parameters
    ----------
    user
        (n,) int64 user rows, ascending.
    item
        (n,) int32 item rows.
    kind
        (n,) int8: place of the kind that is taken back in the version's kinds.
    time
        (n,) float64 seconds since the epoch.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int32]
    kind: NDArray[np.int8]
    time: Floats

    def of(self, rows: NDArray[np.int64]) -> tuple[Offsets, Offsets]:
        """Return, of some user rows (-1: none), whose and which these are.

        Returns
        -------
        (found,) places in `rows`, ascending, and places here.
        """
        first = np.searchsorted(self.user, rows)
        many = np.searchsorted(self.user, rows, side="right") - first
        many[rows < 0] = 0
        return np.repeat(np.arange(len(rows)), many), ranges(first, many)


NOTHING_UNDONE: Final = UndoneEvents(
    np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int8), np.empty(0)
)


def check_undone(undone: UndoneEvents, kinds: int, items: int) -> None:
    """Check what merging relies on.

    Parameters
    ----------
    undone
        What to check.
    kinds, items
        How many kinds and items the version has.

    Raises
    ------
    DamagedVersion
        Naming the array, what was seen and what is allowed.
    """
    columns: list[NDArray[Any]] = [*undone]
    allowed: list[NDArray[Any]] = [*NOTHING_UNDONE]
    for name, column, own in zip(undone._fields, columns, allowed, strict=True):
        _require(name, column.dtype == own.dtype, f"dtype {column.dtype}, not {own.dtype}")
        shape = (len(undone.user),)
        _require(name, column.shape == shape, f"shape {column.shape}, not {shape}")
    _require("user", bool((np.diff(undone.user, prepend=0) >= 0).all()), "must rise from 0 on")
    for name, rows, most in (("item", undone.item, items), ("kind", undone.kind, kinds)):
        _require(name, _are_within(rows, most), f"names {name}s outside of 0..{most - 1}")
    _require("time", bool(np.isfinite(undone.time).all()), "holds numbers that are not finite")


def _are_within(rows: NDArray[Any], most: int) -> bool:
    return not len(rows) or bool(rows.min() >= 0 and rows.max() < most)


def _require(name: str, holds: bool, complaint: str) -> None:
    if not holds:
        raise DamagedVersion(f"undone_{name}s: {complaint}")
