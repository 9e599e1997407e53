"""Ranking among rows: nearest items by mean cosine, and a quick path that changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from registry.scoring import candidate_ranking, similar_items
from registry.scoring.candidate_ranking import best_among
from registry.scoring.ranking import Ranking
from registry.scoring.similar_items import nearest_among

RANDOM = np.random.default_rng(4)
FACTORS = np.round(RANDOM.normal(size=(400, 6)), 1).astype(np.float32)
FACTORS[200:300] = FACTORS[:100]  # ties
FACTORS[399] = 0
RANKING = Ranking(FACTORS)
ROWS = RANDOM.permutation(400)[:333].astype(np.int32)


def test_nearest_are_those_with_the_largest_mean_of_cosines() -> None:
    liked = np.array([3, 17, 40], np.int32)
    rows, cosines = nearest_among(RANKING, liked, ROWS, 25)
    units = FACTORS / np.maximum(np.linalg.norm(FACTORS.astype(np.float64), axis=1), 1e-30)[:, None]
    slow = (units @ units[liked].T).mean(axis=1)
    assert cosines == pytest.approx(slow[rows].tolist(), abs=1e-6)
    assert cosines == pytest.approx(np.sort(slow[ROWS])[::-1][:25].tolist(), abs=1e-6)


def test_items_of_which_nothing_was_learned_are_near_to_nothing() -> None:
    rows, _ = nearest_among(RANKING, np.array([3]), np.arange(400, dtype=np.int32), 400)
    assert 399 not in rows
    assert nearest_among(RANKING, np.array([399]), ROWS, 5) == ([], [])
    with_it = nearest_among(RANKING, np.array([3, 399]), ROWS, 5)
    assert with_it == nearest_among(RANKING, np.array([3]), ROWS, 5)


@pytest.mark.parametrize("k", [1, 10, 332, 333, 1000])
def test_the_quick_path_for_many_rows_changes_no_bit(
    k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector, liked = FACTORS[5], np.array([5, 6], np.int32)
    slow = best_among(RANKING, vector, ROWS, k), nearest_among(RANKING, liked, ROWS, k)
    monkeypatch.setattr(candidate_ranking, "FEW", 10)
    monkeypatch.setattr(similar_items, "FEW", 10)
    assert (best_among(RANKING, vector, ROWS, k), nearest_among(RANKING, liked, ROWS, k)) == slow


def test_no_rows_give_nothing() -> None:
    none = np.array([], np.int32)
    assert best_among(RANKING, FACTORS[0], none, 3) == ([], [])
    assert nearest_among(RANKING, np.array([1]), none, 3) == ([], [])
