"""The metrics, with numbers worked out by hand, and the split."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.training.builders import cells_of, parameters, rate, watch
from training import evaluation
from training.evaluation import (
    Metrics,
    Score,
    Split,
    best,
    by_factors,
    by_popularity,
    hold_out,
    judge,
    ndcg,
    split,
)
from training.matrix import Cells, Factors, weigh

SECOND = 1 / math.log2(3)
THIRD = 1 / math.log2(4)


def halves(cells: Cells, share: float = 0.5) -> Split:
    return split(cells, weigh(cells.values, parameters()), share)


def listing(*scores: list[float]) -> Score:
    """A score that gives user row n the nth list."""
    table = np.array(scores)
    return lambda rows: table[rows]


def test_the_newest_interactions_of_each_user_are_held_out() -> None:
    cells = cells_of(
        *(watch(1, item, at=item) for item in range(5)), watch(2, 0, at=100), watch(2, 1, at=50)
    )

    held = hold_out(cells.user, cells.time, 0.4)

    assert held.tolist() == [False, False, False, True, True, False, False]


def test_a_user_with_too_few_interactions_has_none_held_out() -> None:
    assert not hold_out(np.array([0, 0, 1]), np.array([1.0, 2.0, 3.0]), 0.4).any()


def test_a_split_of_nothing_is_nothing() -> None:
    nothing = halves(cells_of())

    assert len(nothing.users) == 0
    assert judge(by_popularity(nothing.popular), nothing) is None


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=40),
    st.floats(0.01, 0.99),
)
def test_no_older_interaction_of_a_user_is_newer_than_a_held_out_one(
    pairs: list[tuple[int, int]], share: float
) -> None:
    pairs = sorted(pairs)
    user = np.array([one for one, _ in pairs], np.int64)
    time = np.array([at for _, at in pairs], np.float64)

    held = hold_out(user, time, share)

    for one in set(user.tolist()):
        mine = user == one
        assert held[mine].sum() == math.floor(share * mine.sum())
        if held[mine].any():
            assert time[mine & ~held].max() <= time[mine & held].min()


def test_hits_and_gains_are_as_worked_out_by_hand() -> None:
    # user 1: learned 10, 11; held out 12, 13.  user 2: learned 12, 13; held out 10, 11.
    cells = cells_of(
        *(watch(1, item, at=item) for item in (10, 11, 12, 13)),
        *(watch(2, item, at=-item) for item in (10, 11, 12, 13)),
        *(watch(3, item) for item in (14,)),
    )
    # user 1 is shown 12, 14, 13: hits at 1 and 3.  user 2 is shown 14, 10, 11: hits at 2 and 3.
    score = listing([9, 9, 3, 1, 2], [2, 1, 9, 9, 3])

    metrics = judge(score, halves(cells))

    ideal = 1 + SECOND
    assert metrics is not None
    assert metrics.hr == 1.0
    assert metrics.ndcg == pytest.approx(((1 + THIRD) / ideal + (SECOND + THIRD) / ideal) / 2)
    assert metrics.coverage == 1.0


def test_a_hit_at_the_second_place_of_a_short_list_is_discounted() -> None:
    cells = cells_of(*(watch(1, item, at=item) for item in range(20)), watch(2, 30, at=1))
    score = listing([0] * 20 + [1], [0] * 21)  # two items are left to show: 30, then 19, held out

    metrics = judge(score, halves(cells, 0.05))

    assert metrics == Metrics(hr=1.0, ndcg=pytest.approx(SECOND), coverage=pytest.approx(2 / 21))


def test_a_list_without_a_hit_scores_zero() -> None:
    cells = cells_of(
        *(watch(1, item, at=item) for item in range(5)), *(watch(2, item) for item in range(5, 20))
    )
    score = listing([0] * 5 + [1] * 15, [0] * 20)  # user 1 is shown ten of the other's items
    only_user_1 = replace(halves(cells, 0.2), users=np.array([0]))

    assert judge(score, only_user_1) == Metrics(hr=0.0, ndcg=0.0, coverage=0.5)


def test_an_item_that_the_user_has_seen_is_never_listed() -> None:
    cells = cells_of(watch(1, 10, at=1), watch(1, 11, at=2))

    metrics = judge(listing([9.0, -9.0]), halves(cells))

    assert metrics == Metrics(hr=1.0, ndcg=1.0, coverage=0.5)


def test_a_held_out_item_that_teaches_nothing_is_not_relevant() -> None:
    cells = cells_of(watch(1, 10, at=1), rate(1, 11, 0.0, at=2))

    assert judge(listing([1.0, 1.0]), halves(cells)) is None


def test_a_user_of_whom_nothing_was_learned_is_not_judged() -> None:
    cells = cells_of(rate(1, 10, 0.0, at=1), watch(1, 11, at=2))

    assert judge(listing([1.0, 1.0]), halves(cells)) is None


def test_more_than_ten_held_out_items_can_still_reach_the_full_score() -> None:
    assert ndcg(np.ones((1, 10), np.bool_), np.array([25])) == pytest.approx([1.0])


def test_the_best_columns_come_best_first_and_ties_by_column() -> None:
    assert best(np.array([[1.0, 3.0, 2.0, 3.0]]), 3).tolist() == [[1, 3, 2]]


def test_fewer_columns_than_k_give_shorter_lists() -> None:
    assert best(np.array([[1.0, 3.0]]), 10).tolist() == [[1, 0]]


def test_popularity_counts_the_older_half_only() -> None:
    cells = cells_of(watch(1, 10, at=1), watch(1, 11, at=2), watch(2, 10, at=1))

    assert halves(cells).popular.tolist() == [2.0, 0.0]


def test_blocks_of_scores_do_not_change_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(7)
    cells = cells_of(
        *(watch(user, item, at=random.random()) for user in range(30) for item in range(15))
    )
    factors = Factors(
        random.random((30, 3)).astype(np.float32), random.random((15, 3)).astype(np.float32)
    )
    whole = judge(by_factors(factors), halves(cells))

    monkeypatch.setattr(evaluation, "SCORES_AT_ONCE", 31)

    assert judge(by_factors(factors), halves(cells)) == whole


def test_of_too_many_users_evenly_spaced_ones_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MOST_USERS", 3)
    cells = cells_of(*(watch(user, item, at=item) for user in range(11) for item in range(4)))

    assert halves(cells).users.tolist() == [0, 5, 10]
