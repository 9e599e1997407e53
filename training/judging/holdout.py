"""The holdout: which interactions are held out, and which users are judged on them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.versions.manifest import Order
from registry.wire.training_records.data_report import DataReport
from training.data.matrix import ENTRIES_AT_ONCE, Cells, Csr, Mask, blocks, csr, only

MOST_USERS: Final = 5_000
"""Users that are judged, evenly spaced, if there are more: the standard error of HR@10 is then
below 0.75 points, and an evaluation is short beside its fit (1.5 s a model and 20,000 items)."""

MINUTE_SECONDS: Final = 60.0

HELD_OUT: Final[Mapping[Order, str]] = {
    "time": "the newest interactions of each",
    "rows": "the newest interactions of each",
    "minute": "the newest interactions of each, to the minute",
    "random": "interactions of each, drawn at random, because the times give no order",
}

Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The cells, cut in two.

    Parameters
    ----------
    held
        (cells,) which cells are held out.
    older
        Users × items with the weights to learn from.
    seen
        Users × items that the lists of the judged leave out: their older cells, whether they teach
        or not. The other users' rows are empty here and below, for nobody asks for them.
    relevant
        Users × items that a good list has: the held-out cells of the judged with a weight.
    users
        (judged,) rows of the users with something learned and something relevant, ascending.
    popular
        (items,) users of the older part that have each item.
    order
        In which order of each user's cells the last ones are held out.
    """

    held: Mask
    older: Csr
    seen: Csr
    relevant: Csr
    users: Rows
    popular: NDArray[np.float64]
    order: Order = "time"

    @property
    def older_users(self) -> int:
        """Users of the older part."""
        return int((np.diff(self.older.indptr) > 0).sum())


def split(
    cells: Cells, weights: NDArray[np.float32], share: float, order: Order = "time", seed: int = 0
) -> Split:
    """Cut the cells in two, and find whom to judge.

    Parameters
    ----------
    cells
        All cells.
    weights
        (cells,) of them.
    share
        Of each user's cells that is held out, between 0 and 1.
    order, seed
        As :func:`hold_out` takes them.
    """
    held, teaches = hold_out(cells.indptr, cells.time, share, order, seed), weights > 0
    older = csr(cells, ~held & teaches, weights)
    users = judged_users(older, csr(cells, held & teaches))
    asked = _of(users, cells)
    seen, relevant = csr(cells, ~held & asked), csr(cells, held & teaches & asked)
    popular = np.bincount(older.indices, minlength=cells.shape[1]).astype(np.float64)
    return Split(held, older, seen, relevant, users, popular, order)


def inner_split(
    cells: Cells, weights: NDArray[np.float32], share: float, order: Order = "time", seed: int = 0
) -> Split:
    """Cut what :func:`split` does not hold out in two once more, in the same way.

    Parameters are chosen on it without using the final held-out part. The weights stay those of all
    cells.
    """
    left = ~hold_out(cells.indptr, cells.time, share, order, seed)
    return split(only(cells, left), weights[left], share, order, seed)


def unknown_to(
    known: Mask, knows: Mask, halves: Split, cells: Cells, weights: NDArray[np.float32]
) -> Split:
    """Return the same split, judged only by held-out cells that another model has not learned from.

    Neither model has then seen what it is asked for. What the other one has learned from is left
    out of the lists, and the users are those that both know.

    Parameters
    ----------
    known
        (cells,) which the other model has seen.
    knows
        (users,) whom it has factors for.
    halves
        The split.
    cells, weights
        It was made of.
    """
    newer = halves.held & ~known & (weights > 0)
    users = judged_users(halves.older, csr(cells, newer), knows)
    asked = _of(users, cells)
    seen, relevant = csr(cells, (~halves.held | known) & asked), csr(cells, newer & asked)
    return replace(halves, seen=seen, relevant=relevant, users=users)


def hold_out(
    indptr: NDArray[np.int64],
    time: NDArray[np.float64],
    share: float,
    order: Order = "time",
    seed: int = 0,
) -> Mask:
    """Return which cells are held out: of each user's n cells the last ``floor(share × n)``.

    Parameters
    ----------
    indptr
        (users + 1,): user row u has the cells ``indptr[u]:indptr[u + 1]``.
    time
        (cells,) in seconds.
    share
        Between 0 and 1.
    order
        By ``time``, by time to the ``minute``, or ``random``. Among cells of the same time the seed
        decides: neither ids nor the order of a file say what a user did last. ``rows``: by time,
        then by row, as in releases before.
    seed
        The same seed and number of cells give the same choice.

    Returns
    -------
    (cells,) bool. Users with fewer than 1 / share cells have none held out.

    Examples
    --------
    >>> hold_out(np.array([0, 3, 4]), np.array([3.0, 1.0, 2.0, 9.0]), 0.4).tolist()
    [True, False, False, False]
    """
    held, drawing = np.zeros(len(time), np.bool_), np.random.default_rng(seed)
    for first, last in blocks(indptr, ENTRIES_AT_ONCE):
        bounds, cells = indptr[first : last + 1], np.diff(indptr[first : last + 1])
        user = np.repeat(np.arange(last - first), cells)
        when = _when(time[bounds[0] : bounds[-1]], order)
        ties = np.zeros(len(user)) if order == "rows" else drawing.random(len(user))
        places = np.lexsort((ties, when, user))
        place = np.arange(len(user)) - np.repeat(bounds[:-1] - bounds[0], cells)
        held[bounds[0] + places] = place >= (cells - np.floor(share * cells))[user]
    return held


def _when(time: NDArray[np.float64], order: Order) -> NDArray[np.float64]:
    """Return the times as far as they count."""
    if order == "random":
        return np.zeros(len(time))
    return np.floor(time / MINUTE_SECONDS) if order == "minute" else time


def judged_users(older: Csr, relevant: Csr, allowed: Mask | None = None) -> Rows:
    """Return the users to be judged: those with something learned and something held out.

    At most `MOST_USERS`, evenly spaced by row, so that the same data give the same users.
    """
    fit = (np.diff(older.indptr) > 0) & (np.diff(relevant.indptr) > 0)
    return evenly(np.flatnonzero(fit if allowed is None else fit & allowed), MOST_USERS)


def _of(users: Rows, cells: Cells) -> Mask:
    """Return (cells,): which belong to these users."""
    among = np.zeros(cells.shape[0], np.bool_)
    among[users] = True
    return np.repeat(among, np.diff(cells.indptr))


def evenly(rows: Rows, most: int) -> Rows:
    """Return at most `most` of the rows, evenly spaced.

    >>> evenly(np.arange(11), 3).tolist()
    [0, 5, 10]
    """
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def order_of(asked: Order | Literal["auto"], report: DataReport) -> Order:
    """Return in which order of a user's interactions the last ones are held out.

    At random if the times are those of one ingestion. To the minute if some events have no time of
    their own: within a minute, the times of their records are the order of a file.
    """
    if asked != "auto":
        return asked
    if not report.times_tell:
        return "random"
    return "minute" if report.untimed else "time"
