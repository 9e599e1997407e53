"""How good the answers are: HR@10, NDCG@10 and catalogue coverage@10 on held-out interactions.

Pure NumPy: knows matrices and scores; must not know Kafka, the store or how factors are made.

**The split** is by time and per user: the newest share of each user's cells is held out, and the
model of the evaluation learns from the older rest. A single cut in time for all users would suit a
steady stream, but data sets such as MovieLens have users who come once: of ml-latest-small's 671
users only 23 have interactions on both sides of such a cut. What the per-user split does not
measure is drift: some users' older interactions are newer than others' held-out ones. It is the
same for all that are compared.

**The incumbent** is compared by its recipe: its parameters (from its manifest) are fitted on the
same older part and answer for the same users. Its published factors would not do: they have
usually learned from the very interactions that are held out, and would win by memory. The price is
one more fit, or none if the recipe is the candidate's own. So this comparison guards a change of
parameters; a training set that has gone bad is bad for both, and is left to the comparison with
popularity and to the canary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.matrix import Cells, Csr, Factors, Mask, csr, popularity

K: Final = 10
"""Length of the judged lists: the default `k` of a request."""

MOST_USERS: Final = 20_000
"""Users that are judged, evenly spaced, if there are more: the standard error of HR@10 is then
below 0.4 points, and an evaluation does not outlast its fit."""

SCORES_AT_ONCE: Final = 4_000_000
"""Entries of one block of scores (16 MB of float32)."""

Rows: TypeAlias = NDArray[np.int64]
Scores: TypeAlias = NDArray[np.floating]
Score: TypeAlias = Callable[[Rows], Scores]
"""(users,) rows → (users, items) scores, higher is better."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Means over the judged users; see :func:`judge`."""

    hr: float
    ndcg: float
    coverage: float


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
        Users × items that the lists leave out: the older cells, whether they teach or not.
    relevant
        Users × items that a good list has: the held-out cells with a weight.
    users
        (judged,) rows of the users with something learned and something relevant, ascending.
    popular
        (items,) users of the older part that have each item.
    """

    held: Mask
    older: Csr
    seen: Csr
    relevant: Csr
    users: Rows
    popular: NDArray[np.float64]


def split(cells: Cells, weights: NDArray[np.float32], share: float) -> Split:
    """Cut the cells in two as the module describes.

    Parameters
    ----------
    cells
        All cells.
    weights
        (cells,) of them.
    share
        Of each user's cells that is held out, between 0 and 1.
    """
    held, teaches = hold_out(cells.user, cells.time, share), weights > 0
    older, relevant = csr(cells, ~held & teaches, weights), csr(cells, held & teaches)
    users = judged_users(older, relevant)
    return Split(
        held, older, csr(cells, ~held), relevant, users, popularity(cells, ~held & teaches)
    )


def by_factors(factors: Factors) -> Score:
    """Return the score ``users · itemsᵀ``."""
    return lambda rows: factors.users[rows] @ factors.items.T


def by_popularity(popular: NDArray[np.float64]) -> Score:
    """Return the score that gives every user the same items, those with the most users first."""
    return lambda rows: np.broadcast_to(popular, (len(rows), len(popular)))


def hold_out(user: Rows, time: NDArray[np.float64], share: float) -> Mask:
    """Return which cells are held out: of each user's n cells the newest ``floor(share × n)``.

    Parameters
    ----------
    user
        (cells,) user rows, ascending.
    time
        (cells,) in seconds. Among cells of the same time, later ones count as newer.
    share
        Between 0 and 1.

    Returns
    -------
    (cells,) bool. Users with fewer than 1 / share cells have none held out.

    Examples
    --------
    >>> hold_out(np.array([0, 0, 0, 1]), np.array([3.0, 1.0, 2.0, 9.0]), 0.4).tolist()
    [True, False, False, False]
    """
    cells = np.bincount(user)
    order = np.lexsort((time, user))
    place = np.arange(len(user)) - np.repeat(np.cumsum(cells) - cells, cells)
    held = np.zeros(len(user), np.bool_)
    held[order] = place >= (cells - np.floor(share * cells))[user]
    return held


def judged_users(older: Csr, relevant: Csr) -> Rows:
    """Return the users to be judged: those with something learned and something held out.

    At most `MOST_USERS`, evenly spaced by row, so that the same data give the same users.
    """
    users = np.flatnonzero((np.diff(older.indptr) > 0) & (np.diff(relevant.indptr) > 0))
    if len(users) <= MOST_USERS:
        return users
    return users[np.linspace(0, len(users) - 1, MOST_USERS).astype(np.int64)]


def judge(score: Score, split: Split) -> Metrics | None:
    r"""Return the metrics of the ten best items that each user has not seen.

    With :math:`rel_i` = 1 if the item at place i of the list is held out for the user, else 0:

    - HR@10 (hit rate): the share of users with at least one such item in the list;
    - NDCG@10: the mean over users of :math:`DCG / IDCG`, where :math:`DCG = \sum_{i=1}^{10}
      rel_i / \log_2(i + 1)` and IDCG is the DCG of a list that has the user's held-out items first
      (Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002);
    - coverage@10: the share of the catalogue that is in at least one user's list.

    Parameters
    ----------
    score
        Scores all items for some users.
    split
        Whom to judge, by what.

    Returns
    -------
    None if there are no users: no data is not a zero. A catalogue of fewer than ten items, or a
    user with fewer than ten left, gives shorter lists.
    """
    users, items = split.users, split.seen.shape[1]
    if not len(users):
        return None
    hits, gains, listed = 0, 0.0, np.zeros(items, np.bool_)
    for block in np.array_split(users, -(-len(users) * items // SCORES_AT_ONCE)):
        scores = np.array(score(block), np.float32)
        scores[_entries(split.seen, block)] = -np.inf
        top = best(scores, K)
        real = np.isfinite(np.take_along_axis(scores, top, axis=1))
        wanted = np.zeros(scores.shape, np.bool_)
        wanted[_entries(split.relevant, block)] = True
        hit = np.take_along_axis(wanted, top, axis=1) & real
        hits += int(hit.any(axis=1).sum())
        gains += float(ndcg(hit, wanted.sum(axis=1)).sum())
        listed[top[real]] = True
    return Metrics(hits / len(users), gains / len(users), float(listed.mean()))


def ndcg(hit: Mask, relevant: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return each list's NDCG.

    Parameters
    ----------
    hit
        (lists, k): whether the item at each place is relevant.
    relevant
        (lists,): how many relevant items there are in all, at least 1.

    Examples
    --------
    >>> ndcg(np.array([[True, False], [False, True]]), np.array([1, 5])).round(4).tolist()
    [1.0, 0.3869]
    """
    discount = 1 / np.log2(np.arange(hit.shape[1]) + 2)
    ideal = np.cumsum(discount)[np.minimum(relevant, hit.shape[1]) - 1]
    gains: NDArray[np.float64] = (hit * discount).sum(axis=1) / ideal
    return gains


def best(scores: Scores, k: int) -> NDArray[np.int64]:
    """Return (rows, min(k, columns)): the columns with each row's highest scores, best first.

    >>> best(np.array([[0.1, 0.9, 0.5]]), 2).tolist()
    [[1, 2]]
    """
    k = min(k, scores.shape[1])
    chosen = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(scores, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)


def _entries(matrix: Csr, rows: Rows) -> tuple[Rows, NDArray[np.int32]]:
    """Return the entries of `rows` as (place in `rows`, column)."""
    starts, ends = matrix.indptr[rows], matrix.indptr[rows + 1]
    lengths = ends - starts
    inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    columns = matrix.indices[np.repeat(starts, lengths) + inside]
    return np.repeat(np.arange(len(rows)), lengths), columns
