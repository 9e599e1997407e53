"""The metrics, with numbers worked out by hand, and the split."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.training.builders import cells_of, parameters, rate, watch
from training.data.cell_weights import weights
from training.data.matrix import Cells, Factors, starts_of
from training.judging import ranking_metrics as evaluation
from training.judging.holdout import Split, hold_out, split, unknown_to
from training.judging.ranking_metrics import (
    MEANS,
    NOTHING,
    Judgement,
    RankingMetrics,
    Score,
    best,
    by_factors,
    by_popularity,
    changed,
    judge,
    ndcg,
)

SECOND = 1 / math.log2(3)
THIRD = 1 / math.log2(4)


def halves(cells: Cells, share: float = 0.5) -> Split:
    return split(cells, weights(cells, parameters()), share)


def judged(score: Score, by: Split) -> Judgement:
    judgement = judge(score, by)
    assert judgement is not None
    return judgement


def metrics_of(score: Score, by: Split) -> RankingMetrics:
    return judged(score, by).metrics


def listing(*scores: list[float]) -> Score:
    """A score that gives user row n the nth list."""
    table = np.array(scores)
    return lambda rows: table[rows]


def test_the_newest_interactions_of_each_user_are_held_out() -> None:
    cells = cells_of(
        *(watch(1, item, at=item) for item in range(5)), watch(2, 0, at=100), watch(2, 1, at=50)
    )

    held = hold_out(cells.indptr, cells.time, 0.4)

    assert held.tolist() == [False, False, False, True, True, False, False]


def test_a_user_with_too_few_interactions_has_none_held_out() -> None:
    assert not hold_out(np.array([0, 2, 3]), np.array([1.0, 2.0, 3.0]), 0.4).any()


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
    user = np.array([row for row, _ in pairs], np.int64)
    time = np.array([at for _, at in pairs], np.float64)

    held = hold_out(starts_of(np.bincount(user, minlength=4)), time, share)

    for user_id in set(user.tolist()):
        mine = user == user_id
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

    metrics = metrics_of(score, halves(cells))

    ideal = 1 + SECOND
    assert metrics.hr == 1.0
    assert metrics.recall == 1.0
    assert metrics.map == pytest.approx(((1 + 2 / 3) / 2 + (1 / 2 + 2 / 3) / 2) / 2)
    assert metrics.ndcg == pytest.approx(((1 + THIRD) / ideal + (SECOND + THIRD) / ideal) / 2)
    assert metrics.coverage == 1.0


def test_a_hit_at_the_second_place_of_a_short_list_is_discounted() -> None:
    cells = cells_of(*(watch(1, item, at=item) for item in range(20)), watch(2, 30, at=1))
    score = listing([0] * 20 + [1], [0] * 21)  # two items are left to show: 30, then 19, held out

    found = judged(score, halves(cells, 0.05))

    assert found.lists[0].tolist() == [20, 19, *[NOTHING] * 8]
    assert (found.metrics.hr, found.metrics.recall, found.metrics.map) == (1.0, 1.0, 0.5)
    assert found.metrics.ndcg == pytest.approx(SECOND)
    assert found.metrics.coverage == pytest.approx(2 / 21)


def test_a_list_without_a_hit_scores_zero() -> None:
    cells = cells_of(
        *(watch(1, item, at=item) for item in range(5)), *(watch(2, item) for item in range(5, 20))
    )
    score = listing([0] * 5 + [1] * 15, [0] * 20)  # user 1 is shown ten of the other's items
    only_user_1 = replace(halves(cells, 0.2), users=np.array([0]))

    metrics = metrics_of(score, only_user_1)

    assert (metrics.hr, metrics.ndcg, metrics.recall, metrics.map) == (0.0, 0.0, 0.0, 0.0)
    assert metrics.coverage == 0.5


def test_an_item_that_the_user_has_seen_is_never_listed() -> None:
    cells = cells_of(watch(1, 10, at=1), watch(1, 11, at=2))

    metrics = metrics_of(listing([9.0, -9.0]), halves(cells))

    assert (metrics.hr, metrics.ndcg, metrics.coverage) == (1.0, 1.0, 0.5)


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
    whole = judged(by_factors(factors), halves(cells))

    monkeypatch.setattr(evaluation, "SCORES_AT_ONCE", 31)

    parts = judged(by_factors(factors), halves(cells))
    assert parts.lists.tolist() == whole.lists.tolist()
    assert parts.metrics == whole.metrics


def test_of_too_many_users_evenly_spaced_ones_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.judging.holdout.MOST_USERS", 3)
    cells = cells_of(*(watch(user, item, at=item) for user in range(11) for item in range(4)))

    assert halves(cells).users.tolist() == [0, 5, 10]


def test_novelty_and_popularity_bias_are_as_worked_out_by_hand() -> None:
    had = {1: (10, 11, 12), 2: (10, 11, 13), 3: (10, 12, 13)}  # of each, the last is held out
    cells = cells_of(*(watch(user, item, at=item) for user in had for item in had[user]))
    by = replace(halves(cells, 0.34), users=np.array([2]))

    found = judged(listing([0] * 4, [0] * 4, [9, 8, 7, 6]), by)

    assert by.popular.tolist() == [3, 2, 1, 0]
    assert found.lists[0, :2].tolist() == [1, 3]  # items 11 and 13: two of three users, and none
    assert found.metrics.arp == pytest.approx((2 / 3 + 0) / 2)
    assert found.metrics.novelty == pytest.approx((math.log2(3 / 2) + math.log2(3)) / 2)


def pinned_case() -> tuple[Split, Score]:
    """Twelve users, fifteen items, lists by chance: the case that other libraries have judged."""
    random = np.random.default_rng(11)
    pairs = [(user, item) for user in range(12) for item in range(15) if random.random() < 0.6]
    times = random.random(len(pairs))
    cells = cells_of(*(watch(*pair, at=at) for pair, at in zip(pairs, times.tolist(), strict=True)))
    table = random.random((12, 15))
    return halves(cells, 0.4), lambda rows: table[rows]


def test_the_metrics_are_those_of_rectools() -> None:
    """RecTools 0.19 (it needs another NumPy than we do, so its numbers are pinned).

    Recall, HitRate, MAP, NDCG(divide_by_achievable=True), MeanInvUserFreq, AvgRecPopularity over
    the users, and CatalogCoverage(normalize=True), all with k=10.
    """
    by, score = pinned_case()

    metrics = metrics_of(score, by)

    assert metrics == RankingMetrics(
        ndcg=pytest.approx(0.6809178275029445),
        hr=1.0,
        recall=pytest.approx(0.9583333333333334),
        map=pytest.approx(0.5145006613756614),
        novelty=pytest.approx(1.427662577119696),
        arp=pytest.approx(4.614583333333334 / 12),
        coverage=1.0,
    )


def slow(by: Split, lists: list[list[int]]) -> dict[str, float]:
    """The readable twin: the formulas, one user at a time."""
    totals = dict.fromkeys(MEANS, 0.0)
    for user, listed in zip(by.users, lists, strict=True):
        start, end = by.relevant.indptr[user : user + 2]
        wanted = set(by.relevant.indices[start:end].tolist())
        hits = [item in wanted for item in listed]
        ideal = sum(1 / math.log2(place + 2) for place in range(min(10, len(wanted))))
        totals["hr"] += any(hits)
        totals["recall"] += sum(hits) / len(wanted)
        totals["ndcg"] += sum(hit / math.log2(at + 2) for at, hit in enumerate(hits)) / ideal
        totals["map"] += sum(
            sum(hits[: at + 1]) / (at + 1) for at, hit in enumerate(hits) if hit
        ) / len(wanted)
        shares = [by.popular[item] / by.older_users for item in listed]
        least = 1 / by.older_users
        totals["novelty"] += sum(-math.log2(max(share, least)) for share in shares) / len(listed)
        totals["arp"] += sum(shares) / len(listed)
    return {name: total / len(by.users) for name, total in totals.items()}


@each_cell("seed", range(5))
def test_the_metrics_are_those_of_the_slow_twin(seed: int) -> None:
    random = np.random.default_rng(seed)
    cells = cells_of(
        *(
            watch(user, item, at=random.random())
            for user in range(20)
            for item in range(25)
            if random.random() < 0.5
        )
    )
    table, by = random.random((20, 25)), halves(cells, 0.3)

    found = judged(lambda rows: table[rows], by)

    lists = [[item for item in items if item != NOTHING] for items in found.lists.tolist()]
    expected = slow(by, lists)
    assert {name: getattr(found.metrics, name) for name in MEANS} == pytest.approx(expected)


def test_an_item_that_may_not_be_listed_is_not() -> None:
    cells = cells_of(watch(1, 10, at=1), watch(1, 11, at=2), watch(1, 12, at=2), watch(2, 13))

    found = judged(listing([0.0, 1.0, -np.inf, -np.inf], [0.0] * 4), halves(cells, 0.67))

    assert found.lists.tolist() == [[1, NOTHING, NOTHING, NOTHING]]
    assert found.metrics.recall == 0.5


def test_an_empty_list_has_nothing_of_anything() -> None:
    cells = cells_of(watch(1, 10, at=1), watch(1, 11, at=2))

    metrics = metrics_of(listing([-np.inf, -np.inf]), halves(cells))

    assert metrics == RankingMetrics(0, 0, 0, 0, 0, 0, 0)


def test_only_what_is_new_to_another_model_is_relevant_and_nothing_that_it_knows_is_listed() -> (
    None
):
    cells = cells_of(
        *(watch(1, item, at=item) for item in range(6)), *(watch(2, item) for item in range(6))
    )
    by = halves(cells)  # held out: of each user 3, 4, 5
    known = np.array([True] * 4 + [False] * 2 + [True] * 6)  # user 1: 0 to 3; user 2: all
    weight = weights(cells, parameters())

    newer = unknown_to(known, np.array([True, True]), by, cells, weight)

    assert newer.users.tolist() == [0]
    assert newer.relevant.indices.tolist() == [4, 5]
    assert judged(listing([0, 0, 0, 9, 1, 2]), newer).lists[0, :2].tolist() == [5, 4]
    assert not len(unknown_to(known, np.array([False, True]), by, cells, weight).users)


def test_a_list_has_changed_if_less_than_half_of_it_was_there() -> None:
    ours = np.array([[1, 2, 3, 4]] * 4 + [[NOTHING] * 4] + [[1, 2, NOTHING, NOTHING]])
    theirs = np.array(
        [[4, 3, 2, 1], [1, 2, 8, 9], [1, 7, 8, 9], [NOTHING] * 4, [1, 2, 3, 4], [5, 6, 2, 7]]
    )

    assert changed(ours, theirs).tolist() == [False, False, True, True, False, False]
