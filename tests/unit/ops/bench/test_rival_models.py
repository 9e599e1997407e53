"""The rivals: EASE against numbers worked out by hand, and the choice of the best."""

from __future__ import annotations

import numpy as np
import pytest

from ops.bench.offline.rival_models import by_ease, grid
from tests.unit.training.builders import parameters
from training.data.matrix import Csr


def test_ease_is_the_formula_of_its_paper() -> None:
    # two users have both items, and one of them alone: XᵀX = [[3, 2], [2, 2]], and with a penalty
    # of 1 its inverse is [[3, -2], [-2, 4]] / 8, so B = [[0, 1/2], [2/3, 0]]
    both = Csr(
        np.array([0, 2, 4, 5]), np.array([0, 1, 0, 1, 0], np.int32), np.ones(5, "f4"), (3, 2)
    )

    scores = by_ease(both, 1.0)(np.array([0, 2]))

    assert scores == pytest.approx(np.array([[2 / 3, 1 / 2], [0, 1 / 2]]))


def test_ease_looks_only_at_where_there_is_a_weight() -> None:
    both = Csr(np.array([0, 2, 3]), np.array([0, 1, 0], np.int32), np.ones(3, "f4"), (2, 2))
    heavier = both._replace(values=np.array([5, 1, 9], np.float32))

    assert (by_ease(both, 1.0)(np.array([0])) == by_ease(heavier, 1.0)(np.array([0]))).all()


def test_the_grid_changes_nothing_but_what_is_tuned() -> None:
    tried = list(grid(parameters(seed=7)))

    varied = {(model.factors, model.regularization, model.alpha) for model in tried}
    assert len(varied) == len(tried) == 48
    assert {model.seed for model in tried} == {7}
