"""The solver against a slow twin, and against `implicit`'s own."""

from __future__ import annotations

import numpy as np
import pytest
from harness.cells import each_cell
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from registry.errors import ShapeError
from registry.fold_in.loss_function import Filled, LossFunction, loss_function
from registry.fold_in.row_solver import Entries, RowSolver, product_of, sums_of, teaching

ITEMS, FACTORS = 60, 16
IMPLICIT = LossFunction(alpha=1.5, regularization=2.0)
SPARK = LossFunction(alpha=1.5, regularization=0.1, added_confidence=1.0, by_entries=True)


def some_factors(rows: int = ITEMS, factors: int = FACTORS, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(rows, factors)).astype(np.float32)


def rows_of(*lengths: int, seed: int = 1) -> Entries:
    random = np.random.default_rng(seed)
    items = [np.sort(random.choice(ITEMS, length, replace=False)) for length in lengths]
    indptr = np.cumsum([0, *lengths])
    weight = random.uniform(0.1, 5, indptr[-1]).astype(np.float32)
    return Entries(indptr, np.concatenate(items).astype(np.int32), weight)


def slow_twin(
    factors: NDArray[np.float32], entries: Entries, loss: LossFunction
) -> NDArray[np.float64]:
    """Sum up the equation of each row as the loss has it, over all items."""
    found = np.zeros((len(entries.indptr) - 1, factors.shape[1]))
    for row, (start, end) in enumerate(zip(entries.indptr[:-1], entries.indptr[1:], strict=True)):
        if start == end:
            continue
        confidence, preference = np.ones(len(factors)), np.zeros(len(factors))
        for item, weight in zip(entries.item[start:end], entries.weight[start:end], strict=True):
            confidence[item] = loss.added_confidence + loss.alpha * float(weight)
            preference[item] = 1
        penalty = loss.regularization * (end - start if loss.by_entries else 1)
        matrix, vector = penalty * np.eye(factors.shape[1]), np.zeros(factors.shape[1])
        for y, c, p in zip(factors.astype(np.float64), confidence, preference, strict=True):
            matrix += c * np.outer(y, y)
            vector += c * p * y
        found[row] = np.linalg.solve(matrix, vector)
    return found


LENGTHS = (0, 1, 3, 4, 5, 8, 9, 16, 17, 40, ITEMS)


@each_cell("loss", [IMPLICIT, SPARK, LossFunction(1e5, 1e-3)])
def test_short_and_long_rows_are_solved_as_the_slow_twin_does(loss: LossFunction) -> None:
    factors, entries = some_factors(), rows_of(*LENGTHS)

    found = RowSolver(factors, loss).solve(entries)

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slow_twin(factors, entries, loss), rtol=1e-5, atol=1e-6)


def implicit_model(factors: NDArray[np.float32]) -> AlternatingLeastSquares:
    with threadpool_limits(1, "blas"):  # or it warns
        model = AlternatingLeastSquares(
            factors=FACTORS, regularization=IMPLICIT.regularization, alpha=1.0, num_threads=1
        )
    model.item_factors, model.user_factors = factors, some_factors(3)
    return model


def matrix_of(entries: Entries) -> csr_matrix:
    weights = (entries.weight * np.float32(IMPLICIT.alpha), entries.item, entries.indptr)
    return csr_matrix(weights, shape=(len(entries.indptr) - 1, ITEMS))


def test_it_agrees_with_implicit_which_is_given_our_alpha_in_the_weights() -> None:
    factors, entries = some_factors(), rows_of(*LENGTHS)

    theirs = implicit_model(factors).recalculate_user(np.arange(len(LENGTHS)), matrix_of(entries))

    np.testing.assert_allclose(RowSolver(factors, IMPLICIT).solve(entries), theirs, atol=1e-4)


def test_a_vector_does_not_depend_on_its_batch() -> None:
    entries, solver = rows_of(*(3, 5, 7, 40) * 12), RowSolver(some_factors(), IMPLICIT)
    together = solver.solve(entries)

    for row in range(8):
        where = slice(entries.indptr[row], entries.indptr[row + 1])
        alone = Entries(
            np.array([0, where.stop - where.start]), entries.item[where], entries.weight[where]
        )
        assert solver.solve(alone)[0].tolist() == together[row].tolist()


def test_contributions_are_those_of_implicit_and_add_up_to_the_score() -> None:
    factors, entries = some_factors(), rows_of(9)
    solver, targets = RowSolver(factors, IMPLICIT), np.array([2, 50], np.int32)

    found = solver.contributions(entries.item, entries.weight, factors[targets])

    np.testing.assert_allclose(
        found.sum(axis=0), factors[targets] @ solver.solve(entries)[0], rtol=1e-5
    )
    for column, target in enumerate(targets.tolist()):
        score, theirs, _ = implicit_model(factors).explain(0, matrix_of(entries), target, N=99)
        ours = dict(zip(entries.item.tolist(), found[:, column].tolist(), strict=True))
        assert ours == pytest.approx(dict(theirs), abs=1e-5)
        assert found[:, column].sum() == pytest.approx(score, abs=1e-5)


@each_cell("loss", [IMPLICIT, SPARK])
def test_shares_of_a_rows_entries_add_up_to_its_solution(loss: LossFunction) -> None:
    factors, entries = some_factors(), rows_of(12)
    solver = RowSolver(factors, loss)

    shares = [
        sums_of(factors, loss, entries.item[part], entries.weight[part])
        for part in (slice(5), slice(5, 12))
    ]
    matrix, vector = (sum(parts) for parts in zip(*shares, strict=True))

    solved = solver.solve_shared(matrix, vector, 12)
    np.testing.assert_allclose(solved, solver.solve(entries)[0], rtol=1e-6)


def test_a_new_item_gets_the_vector_that_implicit_gives_it() -> None:
    users = some_factors()
    entries = rows_of(12)
    model = implicit_model(some_factors(5))
    model.user_factors = users

    theirs = model.recalculate_item(np.array([0]), matrix_of(entries))

    np.testing.assert_allclose(RowSolver(users, IMPLICIT).solve(entries), theirs, atol=1e-4)


def test_what_weighs_nothing_teaches_nothing() -> None:
    found = teaching(
        np.array([0, 2, 2, 3]),
        np.array([4, 5, 6], np.int32),
        np.array([1, 0, 2], np.float32),
    )

    assert [column.tolist() for column in found] == [[0, 1, 1, 2], [4, 6], [1.0, 2.0]]


def test_the_product_is_summed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = some_factors()
    whole = product_of(factors)
    monkeypatch.setattr("registry.fold_in.row_solver.ROWS_AT_ONCE", 7)

    np.testing.assert_allclose(product_of(factors), whole)


def test_spark_penalizes_a_row_by_its_entries_and_adds_one_to_its_confidence() -> None:
    loss = loss_function("spark", 2.0, 3.0, Filled(users=4, items=9, entries=12))

    assert loss.penalty(np.array([1, 10])).tolist() == [1.5, 15.0]
    assert loss.confidence(np.array([0.5])).tolist() == [2.0]
    assert IMPLICIT.penalty(np.array([1, 10])).tolist() == [2.0, 2.0]


def test_the_loss_of_an_unknown_backend_is_a_bug_and_stops() -> None:
    with pytest.raises(ShapeError, match="'torch'"):
        loss_function("torch", 1.0, 1.0, Filled(1, 1, 1))
