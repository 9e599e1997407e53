"""Item neighbours: the right answer where it is obvious, whatever the weights."""

from __future__ import annotations

import numpy as np
import pytest
from harness.cells import each_cell

from tests.unit.training.builders import cells_of, checkerboard_events
from training.data.matrix import csr
from training.fitting import neighbours
from training.fitting.neighbours import BASELINES, fit_neighbours, sampled


@each_cell("name", BASELINES)
def test_what_a_user_lacks_of_their_colour_comes_first_whatever_the_weights(name: str) -> None:
    cells = cells_of(*checkerboard_events())
    everything = np.ones(len(cells.item), np.bool_)
    misleading = np.where(cells.item < 3, 1e6, 1e-6).astype(np.float32)

    scores = fit_neighbours(name, csr(cells, everything, misleading), 1)(np.arange(24))

    for user in range(24):
        scores[user, cells.item[cells.user == user]] = -np.inf
    assert scores.argmax(axis=1).tolist() == [(user + 2) % 24 for user in range(24)]


def test_a_user_with_too_many_items_is_not_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_OF_A_USER", 5)

    assert sampled(np.array([6, 5, 0, 1])).tolist() == [1, 3]


def test_many_products_are_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST_PRODUCTS", 100)

    assert sampled(np.full(10, 5)).tolist() == [0, 3, 6, 9]
