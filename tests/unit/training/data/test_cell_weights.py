"""How much a cell counts, by its events and its age."""

from __future__ import annotations

import numpy as np
import pytest
from harness.cells import each_cell
from implicit.nearest_neighbours import bm25_weight
from scipy.sparse import csr_matrix

from registry.weighing import DAY_SECONDS, Values, weigh
from registry.wire.training_records.event_weights import parse_event_weights, spell_event_weights
from registry.wire.training_records.interactions import Interaction
from tests.unit.training.builders import cells_of, gathered, parameters, rate, watch
from training.data.cell_weights import settle_transforms, weights
from training.data.matrix import Cells, csr


def one_cell(*values: float | None) -> Values:
    return {
        kind: np.array([np.nan if value is None else value], np.float32)
        for kind, value in zip(("watch", "click", "rate"), values, strict=True)
    }


def test_kinds_of_events_add_up() -> None:
    cells = cells_of(watch(1, 7), Interaction(user_id=1, item_id=7, event="click"), rate(1, 7, 4.0))

    assert weigh(cells.values, parameters(rating_floor=1.0).weights).tolist() == [1.0 + 0.5 + 3.0]


@each_cell(
    ("values", "weight"),
    [
        (one_cell(1, None, None), 2.0),
        (one_cell(3, None, None), 6.0),
        (one_cell(None, 1, None), 0.25),
        (one_cell(None, None, 5), 3.0),
        (one_cell(None, None, 2), 0.0),
        (one_cell(None, None, 0.5), 0.0),
        (one_cell(1, None, 0.5), 0.5),
        (one_cell(-1, None, None), 0.0),
    ],
)
def test_the_mapping_to_weights_is_as_documented(values: Values, weight: float) -> None:
    hyperparameters = parameters(weight_watch=2.0, weight_click=0.25, rating_floor=2.0)

    assert weigh(values, hyperparameters.weights).tolist() == [weight]


def test_a_rating_at_the_floor_teaches_nothing_but_counts_as_seen() -> None:
    cells = cells_of(rate(1, 7, 2.0), rate(1, 8, 5.0))
    teaches = weigh(cells.values, parameters(rating_floor=2.0).weights) > 0

    assert csr(cells, teaches).indices.tolist() == [1]
    assert csr(cells, np.ones(2, np.bool_)).indices.tolist() == [0, 1]


# --- transforms by the whole snapshot ---


def plays() -> Cells:
    counts = [(1, 7, 3), (1, 8, 40), (2, 7, 260), (2, 9, 1), (3, 9, 352_698), (3, 10, 2)]
    return cells_of(*(watch(user, item, value=float(count)) for user, item, count in counts))


@each_cell(("spelled", "k1", "b"), [("bm25", 100, 0.8), ("bm25:k1=1.2:b=0.75", 1.2, 0.75)])
def test_bm25_is_that_of_implicit(spelled: str, k1: float, b: float) -> None:
    cells = plays()
    hyperparameters = parameters(event_weights=parse_event_weights(f"watch=1:{spelled}"))
    matrix = csr_matrix(
        (cells.values["watch"].astype(float), (cells.item, cells.user)), shape=cells.shape[::-1]
    )

    expected = bm25_weight(matrix, K1=k1, B=b).toarray()[cells.item, cells.user]

    assert weights(cells, hyperparameters) == pytest.approx(expected, rel=1e-6)


def test_bm25_per_user_has_users_and_items_change_places() -> None:
    cells = plays()
    hyperparameters = parameters(event_weights=parse_event_weights("watch=1:bm25:per=user"))
    matrix = csr_matrix(
        (cells.values["watch"].astype(float), (cells.user, cells.item)), shape=cells.shape
    )

    expected = np.maximum(bm25_weight(matrix, K1=100, B=0.8).toarray(), 0)[cells.user, cells.item]

    assert weights(cells, hyperparameters) == pytest.approx(expected, rel=1e-6)


def test_by_default_counts_are_weighted_by_their_logarithm_and_ratings_are_not() -> None:
    cells = cells_of(watch(1, 7, value=352_698.0), watch(2, 7), rate(1, 8, 5.0))
    hyperparameters = settle_transforms(
        parameters(event_weights=parse_event_weights("watch=1:auto,rate=1:auto:floor=2")), cells
    )

    assert spell_event_weights(hyperparameters.weights) == "watch=1:log,rate=1:floor=2"
    assert weights(cells, hyperparameters) == pytest.approx(
        [np.log1p(352_698), 3.0, np.log1p(1)], rel=1e-6
    )


# --- age ---


def aged(*days: float) -> Cells:
    """Return cells of one user, each of a weight of 1 and so many days old."""
    now = 100 * DAY_SECONDS
    return cells_of(*(watch(1, item, at=now - age * DAY_SECONDS) for item, age in enumerate(days)))


def test_an_interaction_as_old_as_the_half_life_weighs_half() -> None:
    hyperparameters = parameters(half_life_days=10.0)

    assert weights(aged(0, 10, 20), hyperparameters).tolist() == [1.0, 0.5, 0.25]


def test_what_is_older_than_the_window_teaches_nothing_but_counts_as_seen() -> None:
    cells = aged(0, 10, 10.5)
    weight = weights(cells, parameters(window_days=10.0))

    assert weight.tolist() == [1.0, 1.0, 0.0]
    assert csr(cells, np.ones(3, np.bool_)).indices.tolist() == [0, 1, 2]


def test_age_is_counted_from_the_newest_event_of_all_not_from_the_clock() -> None:
    cells = gathered([watch(1, 1, at=0.0)], [watch(2, 1, at=10 * DAY_SECONDS)]).cells

    assert weights(cells, parameters(half_life_days=10.0)).tolist() == [0.5, 1.0]


def test_without_window_and_half_life_age_does_not_count() -> None:
    assert weights(aged(0, 90), parameters()).tolist() == [1.0, 1.0]
