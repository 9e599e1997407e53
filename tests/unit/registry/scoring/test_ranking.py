"""Ranking: exact, in one order, and of the same bits in every batch and on every processor."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st
from implicit.cpu.topk import topk

from registry.scoring.kernels import HIDDEN_SCORE
from registry.scoring.ranking import MARGIN, Ranking, recompute

Array = npt.NDArray[Any]


class Hidden:
    def __init__(self, *rows: int) -> None:
        self.indices = np.array(rows, np.int32)


def normal(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def plain_scores(item_factors: Array, user: Array) -> Array:
    """Return the score of each item by one float32 operation after the other."""
    scores = []
    for item in item_factors:
        terms = [np.float32(a) * np.float32(b) for a, b in zip(user, item, strict=True)]
        while len(terms) > 1:
            half = len(terms) // 2
            added = [terms[n] + terms[len(terms) - half + n] for n in range(half)]
            terms = added + terms[half : len(terms) - half]
        scores.append(terms[0])
    return np.array(scores, np.float32)


def plain_best(item_factors: Array, user: Array, k: int, hidden: Hidden) -> list[tuple[int, float]]:
    """Score the whole catalogue, sort it by (-score, row), leave out what is hidden, cut at k."""
    scores = plain_scores(item_factors, user)
    rows = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    return [(row, float(scores[row])) for row in rows if row not in set(hidden.indices)][:k]


def best_of(
    item_factors: Array, users: Array, sizes: list[int], hiding: list[Hidden]
) -> list[list[tuple[int, float]]]:
    found = Ranking(item_factors).best(users, sizes, hiding)
    return [list(zip(rows, scores, strict=True)) for rows, scores in found]


def assert_plain(item_factors: Array, users: Array, sizes: list[int], hiding: list[Hidden]) -> None:
    for number, made in enumerate(best_of(item_factors, users, sizes, hiding)):
        expected = plain_best(item_factors, users[number], sizes[number], hiding[number])
        assert made == expected


# --- recomputed scores ------------------------------------------------------------------------


@each_cell("factors", [1, 2, 3, 7, 50, 64, 127])
def test_a_recomputed_score_is_what_single_operations_give(factors: int) -> None:
    items, users = normal(0, 9, factors), normal(1, 4, factors)
    made = recompute(items, users, np.tile(np.arange(9, dtype=np.int32), (4, 1)))
    assert made.dtype == np.float32
    assert made.tolist() == [plain_scores(items, user).tolist() for user in users]


@given(users=st.integers(1, 40), width=st.integers(1, 40), factors=st.integers(1, 70), at=st.data())
def test_a_recomputed_score_is_the_same_in_any_company(
    users: int, width: int, factors: int, at: st.DataObject
) -> None:
    items, them = normal(2, 60, factors), normal(3, users, factors)
    rows = np.random.default_rng(4).integers(0, 60, (users, width), dtype=np.int32)
    together = recompute(items, them, rows)
    user, place = at.draw(st.integers(0, users - 1)), at.draw(st.integers(0, width - 1))
    alone = recompute(items, them[[user]], rows[[user]][:, [place]])
    assert alone.tobytes() == together[user, place].tobytes()
    assert together.tobytes() == recompute(np.asfortranarray(items), them, rows).tobytes()


def test_many_products_are_made_in_pieces_that_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    items, users = normal(5, 50, 8), normal(6, 30, 8)
    rows = np.tile(np.arange(50, dtype=np.int32), (30, 1))
    whole = recompute(items, users, rows)
    for at_once in (1, 8 * 50, 8 * 50 * 7):
        monkeypatch.setattr("registry.scoring.ranking.PRODUCTS_AT_ONCE", at_once)
        assert recompute(items, users, rows).tobytes() == whole.tobytes()


def test_scores_are_the_same_on_every_processor() -> None:
    """Pinned to the bit; the factors are made of whole numbers, and so are the same everywhere."""
    numbers = np.arange(700 * 64).reshape(700, 64) * 7919**2 % 2097143 - 2**20
    factors = (numbers / 2**20).astype(np.float32)
    found = Ranking(factors[:500]).best(factors[500:], [25] * 200, [Hidden()] * 200)
    digest = hashlib.sha256()
    for rows, scores in found:
        digest.update(np.array(rows, "<i4").tobytes() + np.array(scores, "<f4").tobytes())
    assert digest.hexdigest() == "c2796a134af87f8a87834416e42a6a4e0c312a926ff8c346bcb2b21892ece4a2"


# --- the exact best, in one order -------------------------------------------------------------


@given(seed=st.integers(0, 1000), k=st.integers(1, 30), grain=st.sampled_from([1, 4, 2**12, 2**24]))
def test_the_best_are_those_of_the_whole_catalogue_sorted(seed: int, k: int, grain: int) -> None:
    random = np.random.default_rng(seed)  # a coarse grain makes equal and nearly equal scores
    items = (random.integers(-grain, grain + 1, (25, 5)) / grain).astype(np.float32)
    users = (random.integers(-grain, grain + 1, (4, 5)) / grain).astype(np.float32)
    hiding = [Hidden(*random.integers(0, 25, random.integers(0, 25))) for _ in users]
    assert_plain(items, users, [k, 1, 10, 40], hiding)


@each_cell("k", [1, 3, 59, 60, 61])
def test_equal_factors_go_by_row_however_many_there_are(k: int) -> None:
    items = np.tile(normal(9, 1, 6), (60, 1))
    hiding = [Hidden(), Hidden(0, 1, 59), Hidden(*range(60))]
    assert_plain(items, normal(10, 3, 6), [k] * 3, hiding)


def test_more_equals_than_the_kernel_was_asked_for_are_found() -> None:
    items = normal(11, 300, 6)
    items[20:220] = items[20]  # 200 equal ones, whose last rows the kernel would keep
    users = np.vstack([items[20] * 9, normal(12, 2, 6)])
    assert_plain(items, users, [5, 5, 5], [Hidden(), Hidden(), Hidden()])
    rows, _ = Ranking(items).best(users[:1], [5], [Hidden()])[0]
    assert rows == [20, 21, 22, 23, 24]
    assert MARGIN < 200  # else the case would not be one


def test_items_that_differ_by_less_than_rounding_are_told_apart() -> None:
    items = np.tile(normal(13, 1, 16), (80, 1))
    nudges = np.random.default_rng(14).integers(0, 16, 80)
    for row, column in enumerate(nudges):  # one bit in one factor
        items[row, column] = np.nextafter(items[row, column], np.float32(9))
    users = normal(15, 9, 16)
    assert_plain(items, users, [10] * 9, [Hidden()] * 9)


def test_tiny_and_huge_factors_are_ranked_as_exactly() -> None:
    for scale in (1e-30, 1e-22, 1e-19, 1e17):
        items, users = normal(16, 40, 8) * np.float32(scale), normal(17, 5, 8) * np.float32(scale)
        assert_plain(items, users, [7] * 5, [Hidden()] * 5)


def test_minus_zero_and_zero_are_equal() -> None:
    items = np.array([[0.0], [-0.0], [0.0], [-1.0]], np.float32)
    (made,) = best_of(items, np.ones((1, 1), np.float32), [3], [Hidden()])
    assert [row for row, _ in made] == [0, 1, 2]


# --- what we rely on in implicit --------------------------------------------------------------


def test_topk_reads_the_rows_to_hide_from_anything_with_indices_and_puts_them_last() -> None:
    items = np.array([[3], [2], [1]], np.float32)
    users = np.ones((2, 1), np.float32)
    rows, scores = topk(items, users, 3, filter_query_items=[Hidden(0, 2), Hidden()], num_threads=1)
    assert rows[0][0] == 1
    assert list(rows[1]) == [0, 1, 2]
    assert list(scores[0]) == [2, HIDDEN_SCORE, HIDDEN_SCORE]


def test_topk_pads_a_k_beyond_the_catalogue_with_row_0_and_so_must_not_be_asked_for_it() -> None:
    items = np.array([[-3], [-2]], np.float32)
    rows, scores = topk(items, np.ones((1, 1), np.float32), 4, num_threads=1)
    assert list(rows[0]) == [1, 0, 0, 0]
    assert list(scores[0]) == [-2, -3, 0, 0]
