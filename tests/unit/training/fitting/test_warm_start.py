"""Warm starts: when a fit may begin with given factors, with which, who never does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from harness.cells import each_cell

from registry.scoring.model_arrays import ModelArrays
from registry.versions.manifest import ColdStart, Parameters, Start, TrialStart, WarmStart
from registry.wire.training_records.interactions import Interaction
from registry.wire.training_records.training_messages import TrainingProgress
from tests.unit.training.builders import cells_of, checkerboard_events, forget, parameters, watch
from training.data.cell_weights import weights
from training.data.matrix import Cells, Csr, Factors, csr, popularity
from training.fitting.als import fit_als
from training.fitting.warm_start import Warming, first_values, start_of
from training.judging.findings import Learned
from training.judging.gate import GateLimits
from training.judging.holdout import split
from training.judging.incumbent import Incumbent, align
from training.runs.learn import learn
from training.runs.learning_case import RunRules
from training.runs.progress import Journal

RULES = RunRules(GateLimits(20, 20, 200, tolerance=0.1), holdout=0.2, threads=1)
WARMING = Warming(2, "implicit", fit_als)
EVENTS = checkerboard_events()
NEW = watch("new", "novel", at=99.0)


def published(cells: Cells) -> ModelArrays:
    """What a version that has learned from `cells` serves with."""
    weight = weights(cells, parameters())
    right = fit_als(csr(cells, weight > 0, weight), parameters(), 1, lambda _: None)
    seen = csr(cells, np.ones(len(cells.user), np.bool_))
    return ModelArrays(
        *right,
        list(cells.user_ids),
        list(cells.item_ids),
        seen.indptr,
        seen.indices,
        popularity(cells, weight > 0),
        list(cells.titles),
    )


OLD_CELLS = cells_of(*(event for event in EVENTS if (event.timestamp or 0) < 16))


@cache
def fitted() -> Incumbent:
    return Incumbent("v0.1", parameters(), published(OLD_CELLS), digest="d" * 64)


def fitted_by_spark() -> Incumbent:
    return replace(fitted(), backend="spark")


def none() -> None:
    return None


def started(
    incumbent: Incumbent | None, cells: Cells, warming: Warming = WARMING, **changes: Any
) -> Start | None:
    aligned = align(incumbent.arrays, cells) if incumbent and incumbent.arrays else None
    return start_of(warming, parameters(**changes), incumbent, aligned, 0.2)


# --- may it? ---


@each_cell(
    ("incumbent", "events", "changes", "reason"),
    [
        (none, EVENTS, {}, "there is no version to start from"),
        (
            lambda: Incumbent("v0.1", parameters(), None, "als/user_factors.npy is missing"),
            EVENTS,
            {},
            "v0.1 cannot be read: als/user_factors.npy is missing",
        ),
        (
            fitted_by_spark,
            EVENTS,
            {},
            "v0.1 was fitted by spark, this run's is implicit",
        ),
        (
            fitted,
            EVENTS,
            {"regularization": 0.056},
            "v0.1 was trained with regularization=0.05 (now 0.056)",
        ),
        (fitted, EVENTS, {"factors": 8}, "v0.1 was trained with factors=4 (now 8)"),
        (
            fitted,
            EVENTS,
            {"alpha": 2.0, "rating_floor": 1.5},
            "v0.1 was trained with alpha=1 (now 2), event_weights=watch=1,click=0.5,rate=1 "
            "(now watch=1,click=0.5,rate=1:floor=1.5)",
        ),
        (
            fitted,
            [*EVENTS, forget(3, at=99.0)],
            {},
            "7 of the 168 user-item pairs that v0.1 has seen are no longer in the training set: "
            "forgotten, or filtered out",
        ),
        (
            fitted,  # the user came back since
            [*EVENTS, forget(3, at=99.0), watch(3, 7, at=100.0)],
            {},
            "6 of the 168 user-item pairs that v0.1 has seen are no longer in the training set: "
            "forgotten, or filtered out",
        ),
    ],
)
def test_a_fit_begins_at_random_and_says_why(
    incumbent: Callable[[], Incumbent | None],
    events: list[Interaction],
    changes: dict[str, Any],
    reason: str,
) -> None:
    assert started(incumbent(), cells_of(*events), **changes) == ColdStart(reason)


def test_otherwise_it_begins_with_the_incumbents_factors() -> None:
    cells = cells_of(*EVENTS, NEW)

    start = started(fitted(), cells, iterations=30, seed=7)

    assert start == WarmStart("v0.1", "d" * 64, users=24, items=24, iterations=2)
    assert str(start) == "from v0.1's factors of 24 users and 24 items, 2 iterations"


@each_cell(
    ("warming", "incumbent", "start"),
    [
        (Warming(0, "implicit", fit_als, 3), fitted, TrialStart(0.2, 3, order="time")),
        (
            Warming(2, "implicit", fit_als, 3),
            none,
            TrialStart(0.2, 3, "there is no version to start from", "time"),
        ),
        (Warming(2, "implicit", fit_als, 3), fitted, WarmStart("v0.1", "d" * 64, 24, 24, 2)),
        (Warming(0, "implicit", fit_als, 0), fitted, None),
        (
            Warming(0, "spark", None, 3),
            fitted,
            ColdStart("spark's fit cannot start from given factors"),
        ),
    ],
)
def test_without_the_incumbents_it_begins_with_the_trials(
    warming: Warming, incumbent: Callable[[], Incumbent | None], start: Start | None
) -> None:
    assert started(incumbent(), cells_of(*EVENTS), warming) == start


def test_it_is_said_in_one_line() -> None:
    assert str(TrialStart(0.2, 3)) == "from the trial's factors, 3 iterations"
    assert str(TrialStart(0.2, 3, "v0.1 is gone")) == (
        "from the trial's factors, 3 iterations: v0.1 is gone"
    )


# --- with what ---


def test_rows_that_the_incumbent_has_not_learned_are_drawn_as_implicit_draws_them() -> None:
    nobody = align(published(cells_of(watch("other", "thing"))), cells_of(*EVENTS))
    weight = weights(cells := cells_of(*EVENTS), parameters())
    matrix = csr(cells, weight > 0, weight)

    ours = fit_als(matrix, parameters(), 1, lambda _: None, first_values(nobody, parameters()))
    theirs = fit_als(matrix, parameters(), 1, lambda _: None)

    assert [array.tobytes() for array in ours] == [array.tobytes() for array in theirs]


def test_rows_are_matched_by_id_and_one_of_zeros_counts_as_not_learned() -> None:
    arrays = published(OLD_CELLS)
    zeros = arrays.item_factors.copy()
    zeros[5] = 0
    aligned = align(replace(arrays, item_factors=zeros), cells_of(watch(-1, -1), *EVENTS, NEW))

    values = first_values(aligned, parameters())

    assert np.array_equal(values.users[1:25], arrays.user_factors)
    assert np.array_equal(np.delete(values.items[1:25], 5, 0), np.delete(zeros, 5, 0))
    for drawn in (values.users[[0, 25]], values.items[[0, 6, 25]]):
        assert (drawn > 0).all()
        assert (drawn < 0.01).all()


def test_the_fit_goes_on_from_there_and_leaves_the_incumbent_as_it_is() -> None:
    # negative control: after one iteration, a fit that begins at random is still far away
    arrays = published(cells := cells_of(*EVENTS))
    before = arrays.item_factors.copy()
    weight = weights(cells, parameters())
    matrix = csr(cells, weight > 0, weight)
    first = first_values(align(arrays, cells), parameters())

    warm = fit_als(matrix, parameters(iterations=1), 1, lambda _: None, first)
    cold = fit_als(matrix, parameters(iterations=1), 1, lambda _: None)

    far, near = (
        np.abs(fitted.users @ fitted.items.T - _scores(arrays)).max() for fitted in (cold, warm)
    )
    assert near < 0.05 < far
    assert np.array_equal(arrays.item_factors, before)


def _scores(arrays: ModelArrays) -> Any:
    return arrays.user_factors @ arrays.item_factors.T


# --- who never does ---


def learned(
    incumbent: Incumbent | None,
    warming: Warming | None,
    lines: list[TrainingProgress] | None = None,
) -> tuple[Learned, list[tuple[int, int]]]:
    """Learn; return what came out, and entries and iterations of each fit that began at random."""
    cold: list[tuple[int, int]] = []

    def fit(
        matrix: Csr, hyperparameters: Parameters, threads: int, advance: Callable[[int], None]
    ) -> Factors:
        cold.append((len(matrix.indices), hyperparameters.iterations))
        return fit_als(matrix, hyperparameters, threads, advance)

    journal = Journal("run", (lines if lines is not None else []).append)
    cells = cells_of(*EVENTS)
    return learn(cells, parameters(), incumbent, RULES, fit, journal, warming), cold


def test_the_model_that_is_judged_begins_at_random_whatever_is_published() -> None:
    warm, cold_fits = learned(fitted(), WARMING)
    cold, _ = learned(fitted(), None)

    assert cold_fits == [(len(EVENTS) - 24 * 2, parameters().iterations)]  # the trial alone
    assert warm.metrics == cold.metrics
    assert warm.start == WarmStart("v0.1", "d" * 64, users=24, items=24, iterations=2)
    assert cold.start is None
    assert warm.factors is not None
    assert cold.factors is not None
    assert not np.array_equal(warm.factors.items, cold.factors.items)
    assert warm.gate.passed


def test_a_run_that_may_not_begin_so_is_the_same_as_one_that_was_not_asked_to() -> None:
    asked, fits = learned(fitted_by_spark(), WARMING)
    plain, _ = learned(fitted_by_spark(), None)

    assert len(fits) == 2
    assert isinstance(asked.start, ColdStart)
    assert asked.factors is not None
    assert plain.factors is not None
    assert np.array_equal(asked.factors.items, plain.factors.items)


def test_progress_tells_where_the_fit_begins() -> None:
    lines: list[TrainingProgress] = []
    learned(fitted(), WARMING, lines)

    fits = [line for line in lines if line.stage == "fit" and line.total]
    assert [(line.done, line.total) for line in fits] == [(done, 10) for done in range(1, 11)]
    assert {line.message for line in fits} == {
        "begins from v0.1's factors of 24 users and 24 items, 2 iterations"
    }


# --- the trial's ---


def test_what_is_published_goes_on_from_where_the_trial_has_arrived() -> None:
    given: list[Factors] = []

    def fit_from(
        matrix: Csr,
        hyperparameters: Parameters,
        threads: int,
        advance: Callable[[int], None],
        start: Factors,
    ) -> Factors:
        given.append(Factors(start.users.copy(), start.items.copy()))
        return fit_als(matrix, hyperparameters, threads, advance, start)

    lines: list[TrainingProgress] = []
    ours, fits = learned(None, Warming(0, "implicit", fit_from, 3), lines)
    cold, cold_fits = learned(None, None)

    older = len(EVENTS) - 24 * 2
    assert fits == [(older, 8)]
    assert cold_fits == [(older, 8), (len(EVENTS), 8)]
    assert ours.start == TrialStart(0.2, 3, order="time")
    assert ours.metrics == cold.metrics  # so the trial was judged before it has learned more
    assert ours.gate.passed
    (first,) = given
    halves = split(cells := cells_of(*EVENTS), weights(cells, parameters()), 0.2)
    trial = fit_als(halves.older, parameters(), 1, lambda _: None)
    assert [array.tobytes() for array in first] == [array.tobytes() for array in trial]
    assert [line.done for line in lines if line.stage == "fit" and line.total] == [*range(1, 12)]
    assert {line.total for line in lines if line.stage == "fit"} == {0, 11}
    assert ours.factors is not None
    assert cold.factors is not None
    near, far = (
        np.abs(_products(fitted) - _products(cold.factors)).max()
        for fitted in (ours.factors, trial)
    )
    assert near < far / 2


def _products(factors: Factors) -> Any:
    return factors.users @ factors.items.T
