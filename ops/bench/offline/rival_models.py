r"""The models that ours is compared with: what each learns from a split, as scores.

Knows `implicit` and NumPy; must not know which data they are given.

======================== ======================================================================
row                      what it is
======================== ======================================================================
popularity               the same items for everybody, those with the most users first
cosine, BM25             item neighbours on our weights (`training.fitting.neighbours`), 20 of each
EASE                     Steck: "Embarrassingly Shallow Autoencoders for Sparse Data", 2019:
                         :math:`B = I - P\,\mathrm{diag}(1/P_{ii})`,
                         :math:`P = (X^\top X + \lambda I)^{-1}`, on ones; :math:`\lambda` by
                         an inner split
`implicit` defaults      100 factors, regularization 0.01, alpha 1, on the values as they came
`implicit` tuned         the best of a grid on an inner split, on our weights
`irspack` tuned          if it is installed: iALS with :math:`\nu = 1` (Rendle et al.: "Revisiting
                         the Performance of iALS", 2022), the best of a grid on an inner split,
                         on our weights; the grid is around our rules
======================== ======================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from itertools import product
from typing import Any, Final, TypeVar

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from msgspec.structs import replace
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from registry.versions.manifest import Parameters
from training.data.matrix import Csr, Factors
from training.fitting.als import fit_als
from training.judging.holdout import Rows, Split
from training.judging.ranking_metrics import Score, by_factors, judge

MOST_EASE_ITEMS: Final = 20_000
"""EASE inverts a matrix of items × items: 3.2 GB in double precision at that size."""

EASE_PENALTIES: Final = (100.0, 300.0, 1000.0)

GRID_FACTORS: Final = (32, 64, 128)
GRID_REGULARIZATION: Final = (1.0, 3.0, 10.0, 30.0)
GRID_ALPHA: Final = (0.1, 0.3, 1.0, 3.0)

IRSPACK_UNOBSERVED: Final = (0.3, 1.0, 3.0, 10.0)
"""Weights of the unobserved (alpha0), where the mean confidence is 1."""

IRSPACK_TIMES: Final = (0.3, 0.45, 0.6, 0.8, 1.0, 1.3)
"""Regularization in terms of our rule's."""

Chosen = TypeVar("Chosen")


def by_ease(weights: Csr, penalty: float) -> Score:
    """Return EASE's scores.

    Parameters
    ----------
    weights
        (users, items); only the positions count, not the values.
    penalty
        The weight of the L2 term.
    """
    ones = _matrix(weights._replace(values=np.ones(len(weights.indices), np.float32)))
    gram = (ones.T @ ones).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += penalty
    inverse = np.linalg.inv(gram)
    items = inverse / -np.diag(inverse)
    np.fill_diagonal(items, 0)

    def score(rows: Rows) -> NDArray[np.floating[Any]]:
        found: NDArray[np.floating[Any]] = ones[rows] @ items
        return found

    return score


def ease_of(by: Split, inner: Split) -> Score | None:
    """Return EASE with the best penalty on the inner split; None beyond `MOST_EASE_ITEMS`."""
    if by.older.shape[1] > MOST_EASE_ITEMS:
        return None
    best = best_by(EASE_PENALTIES, lambda penalty: by_ease(inner.older, penalty), inner)
    return by_ease(by.older, best)


def implicit_as_it_comes(values: Csr, seed: int) -> Score:
    """Return the scores of `implicit`'s defaults on the values as they came."""
    model = AlternatingLeastSquares(num_threads=1, random_state=seed)
    model.fit(_matrix(values), show_progress=False)
    return by_factors(Factors(np.asarray(model.user_factors), np.asarray(model.item_factors)))


def tune_implicit(start: Parameters, inner: Split) -> Parameters:
    """Return the best parameters of the grid, on the inner split."""

    def fitted(parameters: Parameters) -> Score:
        return by_factors(fit_als(inner.older, parameters, 1, lambda _done: None))

    return best_by(grid(start), fitted, inner)


def has_irspack() -> bool:
    """Tell whether `irspack` is installed. It is no dependency."""
    return find_spec("irspack") is not None


def irspack_of(parameters: Parameters, by: Split, inner: Split) -> Score:
    """Return `irspack` with the best point of its grid on the inner split.

    Parameters
    ----------
    parameters
        Settled; alpha scales the weights, the regularization is the middle of the grid.
    by, inner
        The gate's split, and that of its older part.
    """

    def fitted(weights: Csr, point: tuple[float, float]) -> Score:
        return by_factors(fit_irspack(weights, parameters, *point))

    points = product(IRSPACK_UNOBSERVED, IRSPACK_TIMES)
    best = best_by(points, lambda point: fitted(inner.older, point), inner)
    return fitted(by.older, best)


def fit_irspack(weights: Csr, parameters: Parameters, unobserved: float, times: float) -> Factors:
    r"""Return the factors of `irspack`, with its defaults otherwise (16 epochs).

    Its :math:`\lambda` is multiplied by :math:`\alpha_0 I + n_u` of a user and
    :math:`\alpha_0 U + n_i` of an item. Ours is met in the geometric mean of both on average.
    """
    confidence = _matrix(weights._replace(values=weights.values * np.float32(parameters.alpha)))
    (users, items), entries = weights.filled, len(weights.values)
    of_user, of_item = unobserved * items + entries / users, unobserved * users + entries / items
    model = import_module("irspack").IALSRecommender(
        confidence,
        n_components=parameters.factors,
        alpha0=unobserved,
        reg=times * parameters.regularization / (of_user * of_item) ** 0.5,
        nu=1.0,
        random_seed=parameters.seed,
        n_threads=1,
    )
    with redirect_stdout(StringIO()):  # of a bar of its progress
        model.learn()
    return Factors(
        np.asarray(model.get_user_embedding(), np.float32),
        np.asarray(model.get_item_embedding(), np.float32),
    )


def grid(start: Parameters) -> Iterator[Parameters]:
    """Yield every combination of the grid's values."""
    for factors, penalty, alpha in product(GRID_FACTORS, GRID_REGULARIZATION, GRID_ALPHA):
        yield replace(start, factors=factors, regularization=penalty, alpha=alpha)


def best_by(choices: Iterable[Chosen], fitted: Callable[[Chosen], Score], by: Split) -> Chosen:
    """Return the choice with the highest NDCG@10 of users that there are, of equal the first."""

    def ndcg(choice: Chosen) -> float:
        found = judge(fitted(choice), by)
        assert found is not None  # there are users
        return found.metrics.ndcg

    return max(choices, key=ndcg)


def _matrix(weights: Csr) -> csr_matrix:
    return csr_matrix((weights.values, weights.indices, weights.indptr), shape=weights.shape)
