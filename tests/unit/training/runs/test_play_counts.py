"""Play counts as Last.fm has them: right by default, and warned of."""

from __future__ import annotations

import numpy as np
import pytest

from registry.settings import read_settings
from registry.wire.training_records.event_weights import spell_event_weights
from tests.unit.training.builders import gathered, play_counts
from training.data.cell_weights import settle_transforms
from training.data.cells_from_rows import Gathered
from training.data.data_warnings import warned
from training.fitting.als import fit_als
from training.judging.findings import Learned
from training.judging.holdout import order_of
from training.runs.learn import learn
from training.runs.progress import Journal
from training.runs.regularization_choice import choose_regularization, settle
from training.runs.run_rules import parameters_of, rules_of

TASTES = 8


@pytest.fixture(scope="module")
def found() -> Gathered:
    return gathered(play_counts())


def learned(found: Gathered, **settings: str) -> Learned:
    given = read_settings({"RETRAIN_FACTORS": "16", **settings})
    asked, rules = parameters_of(given), rules_of(given, found.report)
    journal = Journal("run", lambda _: None)
    chosen = choose_regularization(asked, settle(asked, found.cells), rules, journal)
    return learn(found.cells, chosen, None, rules, fit_als, journal, report=found.report)


@pytest.fixture(scope="module")
def by_default(found: Gathered) -> Learned:
    return learned(found)


@pytest.fixture(scope="module")
def raw(found: Gathered) -> Learned:
    return learned(found, RETRAIN_EVENT_WEIGHTS="watch=1")


def of_their_taste(result: Learned) -> float:
    """Return which share of the listed items is of the user's taste."""
    assert result.evaluation is not None
    lists, users = result.evaluation.candidate.lists, result.evaluation.split.users
    return float((lists % TASTES == users[:, None] % TASTES).mean())


def test_the_counts_are_like_lastfms(found: Gathered) -> None:
    values = found.report.values["watch"]

    assert 200 < values.median < 350
    assert 300_000 < values.largest < 350_000
    assert found.report.untimed == found.interactions


def test_by_default_they_teach_the_taste_and_raw_counts_do_not(
    by_default: Learned, raw: Learned
) -> None:
    assert by_default.gate.passed
    assert of_their_taste(by_default) > of_their_taste(raw) + 0.1
    assert by_default.metrics["ndcg_at_10"] > 1.3 * raw.metrics["ndcg_at_10"]
    assert by_default.metrics["ndcg_at_10"] > by_default.metrics["popularity_ndcg_at_10"]


def test_raw_counts_are_implausible_beside_item_neighbours(raw: Learned) -> None:
    (check,) = (check for check in raw.gate.checks if check.name == "plausible")
    assert check.verdict == "inconclusive"
    assert "implausibly low; check the data report" in check.seen
    assert not raw.gate.passed


def test_the_split_is_random_and_the_gate_says_so(found: Gathered, by_default: Learned) -> None:
    assert order_of(read_settings({}).retrain_split, found.report) == "random"
    (check,) = (check for check in by_default.gate.checks if check.name == "better_than_popularity")
    assert "by a random split, because the times give no order" in check.seen


def test_the_order_of_the_file_changes_nothing(by_default: Learned) -> None:
    other = gathered(play_counts()[::-1])

    assert learned(other).metrics == by_default.metrics


def test_they_are_warned_of(found: Gathered) -> None:
    asked = read_settings({}).event_weights
    weights = settle_transforms(parameters_of(read_settings({})), found.cells).weights

    warnings = {
        warning.code: warning.found for warning in warned(found.report, asked, weights).warnings
    }

    assert spell_event_weights(weights) == "watch=1:log,click=0.5,rate=1:floor=2"
    assert warnings.keys() == {"wide_values", "no_times"}
    assert ", median " in warnings["wide_values"]
    assert warnings["no_times"] == "no timestamps: all times are those of the ingestion"


def test_the_gate_says_what_became_of_the_events(by_default: Learned) -> None:
    (check,) = (check for check in by_default.gate.checks if check.name == "interactions")
    assert check.seen == "6,000 pairs from 6,000 events"
    assert np.isfinite(by_default.metrics["cosine_ndcg_at_10"])
