"""What the data settle: the rules in order, and the regularization that held-out data prefer."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from registry.settings import read_settings
from registry.wire.training_records.training_messages import TrainingProgress
from tests.unit.training.builders import cells_of, checkerboard_events, gathered, play_counts, watch
from training.data.cell_weights import weights
from training.data.cells_from_rows import Gathered
from training.data.matrix import Csr, Factors
from training.fitting.als import fit_als
from training.judging.holdout import split
from training.judging.ranking_metrics import by_factors, judge
from training.runs import regularization_choice
from training.runs.progress import Journal
from training.runs.regularization_choice import Settled, choose_regularization, settle
from training.runs.run_rules import parameters_of, rules_of


@pytest.fixture(scope="module")
def found() -> Gathered:
    return gathered(play_counts())


def chosen(found: Gathered, **given: str) -> tuple[Any, Settled, list[TrainingProgress]]:
    """Return what was chosen, what the rules had said, and what the journal was told."""
    settings, lines = read_settings({"RETRAIN_FACTORS": "16", **given}), list[TrainingProgress]()
    asked = parameters_of(settings)
    settled = settle(asked, found.cells)
    rules = rules_of(settings, found.report)
    journal = Journal("run", lines.append)
    return choose_regularization(asked, settled, rules, journal), settled, lines


def test_the_held_out_data_choose_the_regularization_and_nothing_else(found: Gathered) -> None:
    parameters, settled, lines = chosen(found)

    by_rule = settled.parameters.regularization
    assert parameters == structs.replace(
        settled.parameters, regularization=pytest.approx(0.6 * by_rule, rel=0.005)
    )
    assert {line.stage for line in lines} == {"fit"}
    assert (lines[-1].done, lines[-1].total) == (10, 18)  # two in a row were worse than the first


def test_what_was_chosen_is_better_where_nobody_has_looked(found: Gathered) -> None:
    parameters, settled, _ = chosen(found)
    by = split(
        found.cells, weights(found.cells, parameters), 0.2, "random", parameters.seed
    )  # the gate's

    ours, by_rule = (
        judge(by_factors(fit_als(by.older, tried, 1, lambda _: None)), by)
        for tried in (parameters, settled.parameters)
    )

    assert ours is not None
    assert by_rule is not None
    assert ours.metrics.ndcg > 1.05 * by_rule.metrics.ndcg


def test_the_same_data_choose_the_same_and_threads_do_not_matter(found: Gathered) -> None:
    assert chosen(found)[0] == chosen(found, RETRAIN_THREADS="2")[0]


def test_a_regularization_that_is_set_stays_and_nothing_is_tried(found: Gathered) -> None:
    parameters, _, lines = chosen(found, RETRAIN_REGULARIZATION="7")

    assert parameters.regularization == 7
    assert lines == []


def test_of_few_users_luck_would_decide_so_the_rule_stands() -> None:
    parameters, settled, lines = chosen(gathered(checkerboard_events()))

    assert parameters == settled.parameters
    assert lines == []


def test_of_many_pairs_some_users_are_chosen_by(
    found: Gathered, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[Csr] = []

    def fit(matrix: Csr, *more: Any) -> Factors:
        fitted.append(matrix)
        return fit_als(matrix, *more)

    monkeypatch.setattr(regularization_choice, "fit_als", fit)
    monkeypatch.setattr(regularization_choice, "MOST_PAIRS", 4_000)

    parameters, settled, _ = chosen(found)

    assert parameters.regularization == pytest.approx(
        0.6 * settled.parameters.regularization, rel=0.005
    )
    assert {matrix.shape for matrix in fitted} == {(133, 160)}  # of 200 users with 30 pairs each
    assert chosen(found)[0] == parameters
    monkeypatch.setattr(regularization_choice, "MOST_PAIRS", 2_000)
    assert chosen(found)[0] == settled.parameters  # of 66 users luck would decide


def test_minimums_leave_out_before_sizes_are_settled() -> None:
    asked = structs.replace(
        parameters_of(read_settings({})), min_user_interactions=2, min_item_interactions=0
    )
    events = checkerboard_events()

    assert settle(asked, cells_of(*events, watch(99, 0))).parameters == (
        settle(asked, cells_of(*events)).parameters
    )
