"""The tile scan proposes what a sort of all scores would, and stops where nothing can follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.scoring.kernels import HIDDEN_SCORE, ImplicitKernel
from registry.scoring.tile_scan import SLICE, TileScan

Array = npt.NDArray[Any]
ITEMS = 500


class Hidden:
    def __init__(self, *rows: int) -> None:
        self.indices = np.array(rows, np.int32)


def whole_numbers(seed: int, *shape: int) -> Array:
    """Factors whose products and sums are exact, so that every way gives the same scores."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def by_falling_norm(factors: Array) -> Array:
    return factors[np.argsort(-np.linalg.norm(factors, axis=1), kind="stable")]


def best_scores(items: Array, users: Array, asked: int, hiding: list[Hidden]) -> Array:
    scores = users @ items.T
    for row, hides in enumerate(hiding):
        scores[row, hides.indices] = HIDDEN_SCORE
    return -np.sort(-scores, axis=1)[:, :asked]


@given(
    seed=st.integers(0, 99),
    users=st.integers(1, 9),
    asked=st.integers(1, 60),
    first_tile=st.sampled_from([60, 100, ITEMS]),
    tile=st.sampled_from([64, 90, ITEMS]),
    in_order=st.booleans(),
)
def test_the_best_scores_are_found_in_tiles_of_any_size(
    seed: int, users: int, asked: int, first_tile: int, tile: int, in_order: bool
) -> None:
    items, them = whole_numbers(seed, ITEMS, 5), whole_numbers(seed + 1, users, 5)
    items = by_falling_norm(items) if in_order else items
    draw = np.random.default_rng(seed)
    hiding = [Hidden(*draw.integers(0, ITEMS, draw.integers(0, 300))) for _ in range(users)]

    rows, scores = TileScan(np.asfortranarray(items), first_tile, tile).propose(them, asked, hiding)

    assert scores.tolist() == best_scores(items, them, asked, hiding).tolist()
    shown = scores > HIDDEN_SCORE
    assert (np.einsum("uf,uaf->ua", them, items[rows])[shown] == scores[shown]).all()
    for user, hides in enumerate(hiding):
        mine = rows[user][shown[user]].tolist()
        assert len(set(mine)) == len(mine)
        assert not set(mine) & set(hides.indices.tolist())


def test_a_user_from_whom_all_is_hidden_gets_hidden_scores_only() -> None:
    items = whole_numbers(1, ITEMS, 5)
    rows, scores = TileScan(np.asfortranarray(items), 60, 64).propose(
        whole_numbers(2, 2, 5), 7, [Hidden(*range(ITEMS)), Hidden()]
    )
    assert rows.max() < ITEMS
    assert (scores[0] == HIDDEN_SCORE).all()
    assert (scores[1] > HIDDEN_SCORE).all()


@each_cell("threads", [1, 2])
def test_more_users_than_a_slice_get_what_implicit_proposes(threads: int) -> None:
    draw = np.random.default_rng(3)
    items = np.asfortranarray(draw.standard_normal((ITEMS, 8), np.float32))
    users = draw.standard_normal((2 * SLICE + 3, 8), np.float32)
    hiding = [Hidden(*draw.integers(0, ITEMS, 5)) for _ in users]

    rows, scores = TileScan(items).propose(users, 10, hiding, None, threads)
    expected_rows, expected_scores = ImplicitKernel(items).propose(users, 10, hiding)

    assert (rows == expected_rows).mean() > 0.999  # but for pairs within rounding
    np.testing.assert_allclose(scores, expected_scores, atol=1e-5)


def test_a_catalogue_in_order_of_falling_norms_is_read_in_part() -> None:
    draw = np.random.default_rng(4)
    norms = draw.lognormal(0, 1, (5_000, 1))
    items = by_falling_norm(draw.standard_normal((5_000, 16)) * norms).astype(np.float32)
    users, hiding = draw.standard_normal((20, 16), np.float32), [Hidden()] * 20

    in_order = TileScan(np.asfortranarray(items), 200, 200)
    shuffled = TileScan(np.asfortranarray(draw.permutation(items)), 200, 200)

    assert in_order.share_read(users, 10, hiding) < 0.3
    assert shuffled.share_read(users, 10, hiding) > 0.9
