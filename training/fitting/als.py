"""The fit: alternating least squares by `implicit`.

The only module of `training` that knows `implicit` and `scipy`. Must not know Kafka, events, ids or
what the factors are used for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Protocol, TypeAlias

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.recommender_base import ModelFitError
from scipy.sparse import csr_matrix
from threadpoolctl import ThreadpoolController

from registry.error_codes import TrainingCode
from registry.errors import TrainingFailed
from registry.versions.manifest import Parameters
from training.data.matrix import Csr, Factors

Fit: TypeAlias = Callable[[Csr, Parameters, int, Callable[[int], None]], Factors]
"""What :func:`fit_als` is; a run takes the fit as an argument."""


class FitFrom(Protocol):
    """A fit that can begin with given factors."""

    def __call__(
        self,
        weights: Csr,
        parameters: Parameters,
        threads: int,
        advance: Callable[[int], None],
        start: Factors,
    ) -> Factors:
        """Return the factors, made from `start`."""


def fit_als(
    weights: Csr,
    parameters: Parameters,
    threads: int,
    advance: Callable[[int], None],
    start: Factors | None = None,
) -> Factors:
    r"""Return the factors that minimise the loss of implicit feedback.

    .. math::
        \sum_{u,i} c_{ui} (p_{ui} - x_u^\top y_i)^2 + \lambda (\|x_u\|^2 + \|y_i\|^2)

    with preference :math:`p_{ui}` = 1 and confidence :math:`c_{ui} = \alpha w_{ui}` where there is
    a weight, p = 0 and c = 1 elsewhere (Hu, Koren, Volinsky: "Collaborative filtering for implicit
    feedback datasets", 2008). A user or item without any weight gets a row of zeros.

    Parameters
    ----------
    weights
        (users, items), each above 0.
    parameters
        Its seed gives the first values: the same weights give the same factors.
    threads
        Of the solver; BLAS is held to one, as `implicit` asks.
    advance
        Called after each iteration with the number of those done; what it raises ends the fit.
    start
        First values of both matrices, writable: they become the result. None: drawn by the seed.

    Returns
    -------
    float32, (users, factors) and (items, factors).

    Raises
    ------
    TrainingFailed
        ``not_a_number`` if the solver went astray.
    """
    confidence = weights.values
    if parameters.alpha != 1:  # `implicit` would copy the indices as well
        confidence = confidence * np.float32(parameters.alpha)
    with one_blas_thread():
        model = AlternatingLeastSquares(
            factors=parameters.factors,
            regularization=parameters.regularization,
            alpha=1.0,
            iterations=parameters.iterations,
            num_threads=threads,
            random_state=parameters.seed,
        )
        if start is not None:
            model.user_factors, model.item_factors = start
        try:
            model.fit(
                csr_matrix((confidence, weights.indices, weights.indptr), shape=weights.shape),
                show_progress=False,
                callback=lambda iteration, _seconds, _loss: advance(iteration + 1),
            )
        except ModelFitError as error:
            raise TrainingFailed(
                f"the fit with {parameters} failed: {error}", TrainingCode.NOT_A_NUMBER
            ) from error
    return Factors(
        np.asarray(model.user_factors, np.float32), np.asarray(model.item_factors, np.float32)
    )


def one_blas_thread() -> AbstractContextManager[object]:
    """Hold NumPy's products to one thread, so that training leaves the machine to serving."""
    limits: AbstractContextManager[object] = _loaded_libraries().limit(limits=1, user_api="blas")
    return limits


_loaded_libraries = cache(ThreadpoolController)  # looking for them takes longer than a small fit
