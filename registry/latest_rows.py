"""Runs of rows: the latest of each key, and where runs begin. Pure NumPy; knows no events."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Offsets: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Offsets:
    """Return ``start, start + 1, …``, so many as `lengths` says, of each.

    >>> ranges(np.array([3, 9]), np.array([2, 1])).tolist()
    [3, 4, 9]
    """
    before = np.cumsum(lengths) - lengths
    found: NDArray[np.int64] = np.repeat(starts - before, lengths) + np.arange(lengths.sum())
    return found


def latest_of_each(key: NDArray[np.int64], time: Floats) -> Offsets:
    """Return, for each key in ascending order, where the latest of its rows is.

    >>> latest_of_each(np.array([5, 3, 5, 5]), np.array([1.0, 0.0, 2.0, 2.0])).tolist()
    [1, 3]
    """
    order = np.argsort(key, kind="stable")
    first = begins(key[order])
    if first.all():
        return order
    several = ~(first & np.append(first[1:], True))  # rows whose key has others: seldom many
    latest, rows = order[first], order[several]
    starts = np.flatnonzero(first[several])
    times = time[rows]
    rows[times != largest_of_each(times, starts)[np.cumsum(first[several]) - 1]] = -1
    latest[several[first]] = largest_of_each(rows, starts)
    return latest


def same_as_latest(key: NDArray[np.int64], time: Floats, latest: Offsets) -> int:
    """Return how many rows have key and time of a later one, the `latest` of their key.

    >>> key, time = np.array([5, 3, 5, 5]), np.array([1.0, 0.0, 2.0, 2.0])
    >>> same_as_latest(key, time, latest_of_each(key, time))
    1
    """
    if len(latest) == len(key):
        return 0
    place = np.searchsorted(key[latest], key)
    return int((time == time[latest][place]).sum()) - len(latest)


def begins(ordered: NDArray[np.integer]) -> Mask:
    """Return where a run of equal values begins."""
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def largest_of_each(values: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[Any]:
    """Return the largest value of each run."""
    return np.maximum.reduceat(values, starts) if len(starts) else values[:0]
