"""From cells to a verdict: a good model passes, and a bad one cannot get in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from registry.manifest import Parameters
from registry.records import TrainingProgress
from tests.unit.training.builders import cells_of, checkerboard_events, parameters, watch
from training.fit import Fit, fit_als
from training.gate import Limits
from training.learn import Incumbent, Learned, Rules, learn
from training.matrix import Cells, Csr, Factors
from training.progress import Journal

LIMITS = Limits(min_users=20, min_items=20, min_interactions=200, tolerance=0.1)
RULES = Rules(LIMITS, holdout=0.2, threads=1)


def learned(
    cells: Cells | None = None,
    incumbent: Incumbent | None = None,
    fit: Fit = fit_als,
    lines: list[TrainingProgress] | None = None,
) -> Learned:
    cells = cells_of(*checkerboard_events()) if cells is None else cells
    journal = Journal("run", (lines if lines is not None else []).append)
    return learn(cells, parameters(), incumbent, RULES, fit, journal)


def failures(result: Learned) -> dict[str, str]:
    checks = result.gate.checks
    return {check.name: check.verdict for check in checks if check.verdict != "pass"}


def test_a_good_model_passes_and_its_metrics_are_told() -> None:
    result = learned()

    assert result.gate.passed
    assert result.factors is not None
    assert result.metrics["ndcg_at_10"] > result.metrics["popularity_ndcg_at_10"]
    assert set(result.metrics) == {
        f"{whose}{metric}_at_10"
        for whose in ("", "popularity_")
        for metric in ("hr", "ndcg", "coverage")
    }


def test_no_data_is_refused_without_a_fit() -> None:
    def never(*_: object) -> Factors:
        raise AssertionError("there is nothing to fit")

    result = learned(cells_of(), fit=never)

    assert result.factors is None
    assert not result.gate.passed
    assert set(failures(result).values()) == {"inconclusive"}


def test_one_user_is_refused() -> None:
    result = learned(cells_of(*(watch(1, item, at=item) for item in range(300))))

    assert not result.gate.passed
    assert failures(result)["users"] == "fail"


def broken(change: Callable[[Factors], Factors]) -> Fit:
    def fit(
        weights: Csr, told: Parameters, threads: int, advance: Callable[[int], None]
    ) -> Factors:
        return change(fit_als(weights, told, threads, advance))

    return fit


def test_factors_with_a_nan_are_refused() -> None:
    def poison(factors: Factors) -> Factors:
        factors.items[3, 1] = np.nan
        return factors

    result = learned(fit=broken(poison))

    assert not result.gate.passed
    assert failures(result)["finite_factors"] == "fail"
    assert failures(result)["better_than_popularity"] == "inconclusive"


def test_swapped_matrices_are_refused() -> None:
    cells = cells_of(*checkerboard_events(users=26))

    result = learned(cells, fit=broken(lambda right: Factors(right.items, right.users)))

    assert not result.gate.passed
    assert failures(result)["factor_shapes"] == "fail"


def test_a_model_that_has_learned_nothing_is_refused() -> None:
    def noise(right: Factors) -> Factors:
        random = np.random.default_rng(3)
        return Factors(*(random.random(one.shape).astype(np.float32) for one in right))

    assert failures(learned(fit=broken(noise))) == {"better_than_popularity": "fail"}


def test_a_model_worse_than_the_incumbents_recipe_is_refused() -> None:
    better = Incumbent("v0.1", parameters(iterations=9))

    def crippled(
        weights: Csr, told: Parameters, threads: int, advance: Callable[[int], None]
    ) -> Factors:
        right = fit_als(weights, told, threads, advance)
        if told == better.parameters:
            return right
        blurred = right.users.copy()
        blurred[::4] = right.users[1]  # some users of one colour get the other's items
        return Factors(blurred, right.items)

    result = learned(incumbent=better, fit=crippled)

    assert failures(result) == {"not_worse_than_incumbent": "fail"}
    assert result.metrics["incumbent_ndcg_at_10"] > result.metrics["ndcg_at_10"]


def test_an_incumbent_of_the_same_recipe_is_not_fitted_again() -> None:
    fits: list[Parameters] = []

    def counted(
        weights: Csr, told: Parameters, threads: int, advance: Callable[[int], None]
    ) -> Factors:
        fits.append(told)
        return fit_als(weights, told, threads, advance)

    result = learned(incumbent=Incumbent("v0.1", parameters()), fit=counted)

    assert len(fits) == 2
    assert result.gate.passed
    assert result.metrics["incumbent_ndcg_at_10"] == result.metrics["ndcg_at_10"]


def test_neither_evaluated_model_has_seen_what_is_held_out() -> None:
    entries: list[int] = []

    def counted(
        weights: Csr, told: Parameters, threads: int, advance: Callable[[int], None]
    ) -> Factors:
        entries.append(len(weights.indices))
        return fit_als(weights, told, threads, advance)

    learned(incumbent=Incumbent("v0.1", parameters(factors=5)), fit=counted)

    trial, final, recipe = entries
    assert final == len(checkerboard_events())
    assert trial == recipe == final - 24 * (final // 24 // 5)


def test_progress_counts_the_iterations_of_both_fits() -> None:
    lines: list[TrainingProgress] = []
    learned(lines=lines)

    fits = [(line.done, line.total) for line in lines if line.stage == "fit"]
    assert fits == [(0, 0), *((done, 16) for done in range(1, 17))]
    assert [line.stage for line in lines if line.total == 0] == ["fit", "evaluate", "gate"]


@pytest.mark.parametrize("users", [0, 1])
def test_a_refusal_names_every_check(users: int) -> None:
    cells = cells_of(*(watch(1, item) for item in range(users)))

    assert [check.name for check in learned(cells).gate.checks] == [
        "users",
        "items",
        "interactions",
        "factor_shapes",
        "finite_factors",
        "better_than_popularity",
        "not_worse_than_incumbent",
    ]
