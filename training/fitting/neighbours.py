"""Baselines: item neighbours by `implicit`, which a matrix factorization has to beat.

Knows `implicit`'s item neighbours; must not know Kafka, events, ids or what is judged.

They learn from who has which item, not from how much: weights that mislead the model must not
mislead the baselines as well.

If all users would take longer than `MOST_PRODUCTS` allows, they are learned from a sample of users,
so they stay cheap beside the fit. A sample makes a baseline worse, never better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
from implicit.nearest_neighbours import ItemItemRecommender, bm25_weight, normalize
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.data.matrix import Csr

NEIGHBOURS: Final = 20
"""Of each item; `implicit`'s default."""

MOST_PRODUCTS: Final = 100_000_000
"""Pairs of items within users that are multiplied: some 2 s. A user with n items has n² of them."""

MOST_OF_A_USER: Final = 3_000
"""Items; who has more is left out, for nobody else could be in the sample."""

Baseline: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.floating]]
"""(users,) rows → (users, items) scores, higher is better."""

_WEIGHTED: Final[Mapping[str, Callable[[Any], Any]]] = {
    "cosine": normalize,
    "bm25": partial(bm25_weight, K1=1.2, B=0.75),
}
"""Of an items × users matrix; as `implicit`'s `CosineRecommender` and `BM25Recommender` have it."""

BASELINES: Final = tuple(_WEIGHTED)


def fit_neighbours(name: str, older: Csr, threads: int, *, with_values: bool = False) -> Baseline:
    """Return the scores of a baseline: of an item, the similarities to the items of the user.

    Parameters
    ----------
    name
        One of `BASELINES`: similarity is the cosine, or the product of BM25's weights.
    older
        (users, items) to learn from. The scores are of its users.
    threads
        Of the products.
    with_values
        Whether the values of `older` count, as in a comparison of models at their best.
    """
    values = older.values if with_values else np.ones(len(older.indices), np.float32)
    matrix = csr_matrix((values, older.indices, older.indptr), shape=older.shape)
    learned_from = matrix[sampled(np.diff(older.indptr))]
    model = ItemItemRecommender(NEIGHBOURS, threads)
    model.fit(_WEIGHTED[name](learned_from.T).T.tocsr(), show_progress=False)
    similarity = model.similarity

    def score(rows: NDArray[np.int64]) -> NDArray[np.floating]:
        found: NDArray[np.floating] = (matrix[rows] @ similarity).toarray()
        found[found == 0] = -np.inf  # none of the user's items is a neighbour
        return found

    return score


def sampled(entries: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of the users that are learned from, evenly spaced, ascending.

    Parameters
    ----------
    entries
        (users,) items of each.

    Examples
    --------
    >>> sampled(np.array([2, 0, 5_000, 3])).tolist()
    [0, 3]
    >>> len(sampled(np.full(1_000, 1_000)))
    100
    """
    rows = np.flatnonzero((entries > 0) & (entries <= MOST_OF_A_USER))
    products = int((entries[rows].astype(np.int64) ** 2).sum())
    if products <= MOST_PRODUCTS:
        return rows
    most = max(1, len(rows) * MOST_PRODUCTS // products)
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
