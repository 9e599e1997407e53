"""What follows the data: each rule by hand, and what is set stays."""

from __future__ import annotations

import numpy as np
import pytest
from harness.cells import each_cell

from registry.settings import read_settings
from tests.unit.training.builders import parameters
from training.data.matrix import Csr
from training.fitting.size_rules import BY_SIZE, factors_by_size, noise_of, settle_sizes
from training.runs.run_rules import parameters_of


def matrix_of(rows: list[list[float]]) -> Csr:
    dense = np.array(rows, np.float32)
    users, items = np.nonzero(dense)
    indptr = np.concatenate([[0], np.cumsum(np.count_nonzero(dense, axis=1))])
    return Csr(indptr, items.astype(np.int32), dense[users, items], dense.shape)


TWO_ROWS = matrix_of([[1, 1, 0, 0], [0, 0, 3, 3], [0, 0, 0, 0]])
ASKED = {"factors": BY_SIZE, "regularization": BY_SIZE, "alpha": BY_SIZE}


def test_alpha_makes_the_mean_confidence_one() -> None:
    assert settle_sizes(parameters(**ASKED), TWO_ROWS).alpha == 0.5


def test_the_regularization_is_a_share_of_what_chance_would_give() -> None:
    # 4 entries of 2 users and 4 items; the root mean square of 1, 1, 3, 3 is √5
    noise = 0.5 * 5**0.5 * (2**0.5 + 1)

    assert noise_of(TWO_ROWS, 0.5) == pytest.approx(noise)
    assert settle_sizes(parameters(**ASKED), TWO_ROWS).regularization == pytest.approx(
        0.75 * noise, rel=0.005
    )


def test_the_unit_of_the_weights_does_not_matter() -> None:
    larger = TWO_ROWS._replace(values=TWO_ROWS.values * 100)
    first, other = (settle_sizes(parameters(**ASKED), made) for made in (TWO_ROWS, larger))

    assert first.regularization == other.regularization
    assert first.alpha == 100 * other.alpha


@each_cell(
    ("users", "items", "factors"),
    [
        (1, 1, 8),
        (33, 500, 16),
        (256, 256, 128),
        (100_000, 31_072, 128),
        (100_000, 31_073, 64),
        (250_000, 12_144, 64),
        (250_000, 12_145, 32),
        (50_000_000, 1_000_000, 32),
    ],
)
def test_the_factors_follow_the_rows(users: int, items: int, factors: int) -> None:
    assert factors_by_size(users, items) == factors


def test_what_is_set_stays() -> None:
    given = parameters(factors=5, regularization=0.25, alpha=7.0)

    assert settle_sizes(given, TWO_ROWS) == given


def test_the_regularization_follows_an_alpha_that_is_set() -> None:
    given = parameters(**ASKED | {"alpha": 1.0})

    assert settle_sizes(given, TWO_ROWS).regularization == pytest.approx(4.05, abs=0.005)


def test_without_interactions_there_is_still_something_to_refuse_later() -> None:
    found = settle_sizes(parameters(**ASKED), matrix_of([[0.0, 0.0]]))

    assert (found.factors, found.alpha, found.regularization) == (8, 1.0, 0.75)


def test_spark_keeps_its_constants() -> None:
    asked = parameters_of(read_settings({"TRAIN_BACKEND": "spark"}))

    assert (asked.factors, asked.regularization, asked.alpha) == (32, 3.0, 1.0)
    assert parameters_of(read_settings({})).factors == BY_SIZE
