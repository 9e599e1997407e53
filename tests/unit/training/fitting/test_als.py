"""The fit: right on an obvious data set, the same every time, and ended from outside."""

from __future__ import annotations

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from registry.error_codes import TrainingCode
from registry.errors import TrainingFailed
from registry.weighing import weigh
from tests.unit.training.builders import cells_of, checkerboard_events, parameters, rate, watch
from training.data.matrix import Cells, Csr, Factors, csr
from training.fitting.als import fit_als


def matrix(cells: Cells) -> Csr:
    weights = weigh(cells.values, parameters().weights)
    return csr(cells, weights > 0, weights)


def fitted(cells: Cells, **changes: object) -> Factors:
    return fit_als(matrix(cells), parameters(**changes), 1, lambda _done: None)


def test_the_checkerboard_is_learned() -> None:
    cells = cells_of(*checkerboard_events())
    factors = fitted(cells)
    scores = factors.users @ factors.items.T

    for user in range(24):
        own = scores[user, user % 2 :: 2]
        other = scores[user, 1 - user % 2 :: 2]
        assert own.min() > other.max()


def test_the_factors_are_float32_with_one_row_per_user_and_item() -> None:
    factors = fitted(cells_of(watch(1, 7), watch(2, 8), watch(3, 8)), factors=5)

    assert factors.users.shape == (3, 5)
    assert factors.items.shape == (2, 5)
    assert factors.users.dtype == factors.items.dtype == np.float32


def test_the_same_weights_and_seed_give_the_same_bytes() -> None:
    cells = cells_of(*checkerboard_events())
    first, other, seeded = fitted(cells), fitted(cells), fitted(cells, seed=43)

    assert first.items.tobytes() == other.items.tobytes()
    assert first.items.tobytes() != seeded.items.tobytes()


def test_alpha_makes_the_same_bytes_as_implicits_own() -> None:
    made = matrix(cells_of(*checkerboard_events()))
    hyperparameters = parameters(alpha=2.3)
    theirs = AlternatingLeastSquares(
        hyperparameters.factors,
        hyperparameters.regularization,
        hyperparameters.alpha,
        iterations=hyperparameters.iterations,
        num_threads=1,
        random_state=hyperparameters.seed,
    )
    theirs.fit(csr_matrix((made.values, made.indices, made.indptr), made.shape), False)

    ours = fit_als(made, hyperparameters, 1, lambda _done: None)

    assert ours.users.tobytes() == theirs.user_factors.tobytes()
    assert ours.items.tobytes() == theirs.item_factors.tobytes()


def test_one_sweep_solves_the_normal_equations_of_the_paper() -> None:
    # a twin of the last half-sweep: (XᵀX + Xᵀ(C - I)X + λI) y = XᵀC p, with c = alpha × weight
    cells = cells_of(*(rate(user, item, 1.0 + (user * item) % 5) for user in range(6)
                       for item in range(5) if (user + item) % 3))  # fmt: skip
    hyperparameters = parameters(factors=2, iterations=300, regularization=0.5, alpha=3.0)
    factors = fit_als(matrix(cells), hyperparameters, 1, lambda _done: None)
    confidence = np.zeros(cells.shape)
    confidence[cells.user, cells.item] = 3.0 * weigh(cells.values, hyperparameters.weights)

    for item, row in enumerate(factors.items):
        c, x = confidence[:, item], factors.users.astype(np.float64)
        extra = np.where(c > 0, c - 1, 0)
        left = x.T @ x + x.T @ (extra[:, None] * x) + 0.5 * np.eye(2)
        assert np.allclose(row, np.linalg.solve(left, x.T @ c), atol=1e-3)


def test_a_user_who_taught_nothing_gets_a_row_of_zeros() -> None:
    factors = fitted(cells_of(watch(1, 7), watch(3, 8), rate(2, 7, 0.0)))

    assert not factors.users[1].any()
    assert factors.users[0].any()


def test_each_iteration_is_told() -> None:
    advances: list[int] = []
    fit_als(
        matrix(cells_of(watch(1, 7), watch(2, 8))), parameters(iterations=3), 1, advances.append
    )

    assert advances == [1, 2, 3]


def test_what_the_listener_raises_ends_the_fit() -> None:
    def lost(_done: int) -> None:
        raise TrainingFailed("the lock is gone", TrainingCode.LOST_LOCK)

    with pytest.raises(TrainingFailed, match="the lock is gone"):
        fit_als(matrix(cells_of(watch(1, 7), watch(2, 8))), parameters(), 1, lost)


def test_a_solver_that_goes_astray_is_a_failed_training() -> None:
    poisoned = matrix(cells_of(watch(1, 7), watch(2, 8)))._replace(
        values=np.array([np.nan, 1], np.float32)
    )

    with pytest.raises(TrainingFailed) as failed:
        fit_als(poisoned, parameters(), 1, lambda _done: None)

    assert failed.value.code == "not_a_number"
