r"""How good the answers are: the ten best items of each user, against held-out interactions.

Pure NumPy: knows matrices and scores; must not know Kafka, the store or how factors are made.
docs/explanation/evaluation.md argues the choices.

**The split** is by time and per user: the newest share of each user's cells is held out, and the
trial model learns from the older rest. If the times give no order, it is drawn at random. A single
cut in time for all users would suit a steady stream, but data sets such as MovieLens have users who
come once: of ml-latest-small's 671 users only 23 have interactions on both sides of such a cut.
What the per-user split does not measure is drift: some users' older interactions are newer than
others' held-out ones. It affects all models compared equally.

**The metrics**, of a user's list :math:`i_1 … i_n` of n ≤ 10 items, with :math:`rel_j` = 1 if the
user has :math:`i_j` held out, else 0, and R held-out items; each is a mean over the judged users,
except coverage:

======== ===============================================================================
name     formula, and source
======== ===============================================================================
hr       1 if any :math:`rel_j`, else 0 (hit rate; Deshpande and Karypis 2004)
recall   :math:`\sum_j rel_j / R`
ndcg     :math:`\sum_j rel_j / \log_2(j + 1)`, divided by that of a list with the held-out
         items first (Järvelin and Kekäläinen 2002)
map      :math:`\sum_j rel_j P_j / R`, where :math:`P_j` is the share of relevant items among
         the first j (average precision of TREC, cut at ten)
novelty  mean of :math:`-\log_2(u_i / U)`: bits of surprise; :math:`u_i` of the U older users
         have item i, one at least (Zhou et al. 2010; "MIUF" of Castells, Vargas, Wang 2011)
arp      mean of :math:`u_i / U`: average recommendation popularity, the popularity bias
         (Yin et al. 2012; Abdollahpouri et al. 2019)
coverage the share of the catalogue that is in at least one user's list; it has no interval,
         for a resample has fewer different users, and so always less of it
======== ===============================================================================

Without any judged user there are no metrics: no data is not a zero. A list can be shorter than ten,
where fewer items are left; an empty one has 0 of everything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from training.data.matrix import Csr, Factors, Mask
from training.judging.holdout import Rows, Split

K: Final = 10
"""Length of the judged lists: the default `k` of a request."""

MEANS: Final = ("ndcg", "hr", "recall", "map", "novelty", "arp")
"""Columns of :attr:`Judgement.values`: the metrics that are means over users."""

SCORES_AT_ONCE: Final = 500_000
"""Entries of one block of scores: 2 MB of float32, which stay in the processor's cache, and four
times as much to sort them."""

NOTHING: Final = -1
"""In a list: no item, because no more are left."""
Scores: TypeAlias = NDArray[np.floating]
Score: TypeAlias = Callable[[Rows], Scores]
"""(users,) rows → (users, items) scores, higher is better; minus infinity is never listed."""


@dataclass(frozen=True, slots=True)
class RankingMetrics:
    """The metrics as the module defines them."""

    ndcg: float
    hr: float
    recall: float
    map: float
    novelty: float
    arp: float
    coverage: float


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What was listed for the judged users, and how good each list is.

    Parameters
    ----------
    lists
        (users, ≤ 10) item rows, best first, `NOTHING` where no item is left.
    values
        (users, metrics), columns as in `MEANS`.
    coverage
        The share of the catalogue that is listed.
    """

    lists: Rows
    values: NDArray[np.float64]
    coverage: float

    @property
    def metrics(self) -> RankingMetrics:
        """The means over the users."""
        means = dict(zip(MEANS, self.values.mean(axis=0).tolist(), strict=True))
        return RankingMetrics(**means, coverage=self.coverage)

    def of(self, metric: str) -> NDArray[np.float64]:
        """Return (users,): one of `MEANS`."""
        return self.values[:, MEANS.index(metric)]


def by_factors(factors: Factors) -> Score:
    """Return the score ``users · itemsᵀ``."""
    return lambda rows: factors.users[rows] @ factors.items.T


def by_popularity(popular: NDArray[np.float64]) -> Score:
    """Return the score that gives every user the same items, those with the most users first."""
    return lambda rows: np.broadcast_to(popular, (len(rows), len(popular)))


def judge(score: Score, split: Split) -> Judgement | None:
    """Return what `score` lists for the split's users, and how good that is.

    Parameters
    ----------
    score
        Scores all items for some users.
    split
        Whom to judge, by what.

    Returns
    -------
    None if there are no users.
    """
    if not len(split.users):
        return None
    lists = best_unseen(score, split.users, split.seen)
    hit = _holds(split.relevant, split.users, lists)
    relevant = np.diff(split.relevant.indptr)[split.users]
    real, places = lists != NOTHING, np.arange(1, lists.shape[1] + 1)
    share = split.popular / max(split.older_users, 1)
    surprise = -np.log2(np.maximum(split.popular, 1) / max(split.older_users, 1))
    length = np.maximum(real.sum(axis=1), 1)
    columns = {
        "ndcg": ndcg(hit, relevant),
        "hr": hit.any(axis=1),
        "recall": hit.sum(axis=1) / relevant,
        "map": (hit * hit.cumsum(axis=1) / places).sum(axis=1) / relevant,
        "novelty": (surprise[lists] * real).sum(axis=1) / length,
        "arp": (share[lists] * real).sum(axis=1) / length,
    }
    values = np.stack([columns[name] for name in MEANS], axis=1).astype(np.float64)
    return Judgement(lists, values, len(np.unique(lists[real])) / split.seen.shape[1])


def best_unseen(score: Score, users: Rows, seen: Csr) -> Rows:
    """Return (users, min(10, items)): the best items that each user has not seen, best first.

    `NOTHING` stands where no item is left. The scores are made in blocks of `SCORES_AT_ONCE`.
    """
    items = seen.shape[1]
    lists = np.empty((len(users), min(K, items)), np.int64)
    blocks = -(-len(users) * items // SCORES_AT_ONCE)
    for places in np.array_split(np.arange(len(users)), blocks):
        scores = np.array(score(users[places]), np.float32)  # a copy, to write into
        scores[_entries(seen, users[places])] = -np.inf
        top = best(scores, K)
        listed = np.isfinite(np.take_along_axis(scores, top, axis=1))
        lists[places] = np.where(listed, top, NOTHING)
    return lists


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


def changed(lists: Rows, other: Rows) -> Mask:
    """Return (users,): of whose list in `lists` less than half is in the list of `other`.

    Parameters
    ----------
    lists, other
        (users, places) item rows, `NOTHING` where no item is left. An empty list has not changed.

    Examples
    --------
    >>> changed(np.array([[1, 2], [3, 4]]), np.array([[2, 9], [8, 9]])).tolist()
    [False, True]
    """
    real = lists != NOTHING
    kept = (lists[:, :, None] == other[:, None, :]).any(axis=2) & real
    mostly_new: Mask = 2 * kept.sum(axis=1) < real.sum(axis=1)
    return mostly_new


def _holds(matrix: Csr, rows: Rows, columns: Rows) -> Mask:
    """Return the shape of `columns`: whether the matrix has an entry there, by row.

    A row's columns ascend, so row × width + column ascends over the whole matrix.
    """
    width = matrix.shape[1]
    place, column = _entries(matrix, rows)
    keys = place * width + column
    wanted = np.arange(len(rows))[:, None] * width + columns
    found = np.searchsorted(keys, wanted)
    held: Mask = (keys[np.minimum(found, len(keys) - 1)] == wanted) & (columns != NOTHING)
    return held


def _entries(matrix: Csr, rows: Rows) -> tuple[Rows, NDArray[np.int32]]:
    """Return the entries of `rows` as (place in `rows`, column)."""
    starts, ends = matrix.indptr[rows], matrix.indptr[rows + 1]
    lengths = ends - starts
    inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    columns = matrix.indices[np.repeat(starts, lengths) + inside]
    return np.repeat(np.arange(len(rows)), lengths), columns
