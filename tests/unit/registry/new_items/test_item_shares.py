from __future__ import annotations

import numpy as np
import pytest
from harness.cells import each_cell

from registry.errors import ShapeError
from registry.fold_in.loss_function import LossFunction
from registry.fold_in.row_solver import Entries, RowSolver
from registry.new_items.item_shares import (
    ItemShare,
    ShareKey,
    share_of,
    solve_new_items,
)

USERS, FACTORS = 40, 6
FACTORS_OF_USERS = np.random.default_rng(3).normal(size=(USERS, FACTORS)).astype(np.float32)
SOLVER = RowSolver(FACTORS_OF_USERS, LossFunction(2.0, 1.0))
SPARK = RowSolver(FACTORS_OF_USERS, LossFunction(2.0, 0.1, added_confidence=1.0, by_entries=True))


def share(
    partition: int, *users: int, end: int = 10, item: str = "new", solver: RowSolver = SOLVER
) -> ItemShare:
    rows = np.array(users, np.int32)
    key = ShareKey("v0.3", partition, item)
    weight = (rows + 1).astype(np.float32)
    return share_of(key, end, FACTORS_OF_USERS, solver.loss, rows, weight)


def whole(*users: int, solver: RowSolver = SOLVER) -> list[float]:
    rows = np.array(users, np.int32)
    entries = Entries(np.array([0, len(rows)]), rows, (rows + 1).astype(np.float32))
    return solver.solve(entries)[0].tolist()


@each_cell("solver", [SOLVER, SPARK])
def test_shares_of_all_partitions_give_the_vector_of_all_users(solver: RowSolver) -> None:
    shares = [share(0, 1, 5, solver=solver), share(2, 7, solver=solver), share(1, solver=solver)]

    found = solve_new_items(shares, solver, least_users=3)

    assert found["new"].users == 3
    assert found["new"].vector.tolist() == pytest.approx(whole(1, 5, 7, solver=solver), rel=1e-5)


def test_an_item_with_too_few_users_is_none() -> None:
    assert solve_new_items([share(0, 1), share(1, 2)], SOLVER, least_users=3) == {}
    assert solve_new_items([], SOLVER, least_users=1) == {}


def test_each_item_is_solved_by_its_own_shares() -> None:
    found = solve_new_items([share(0, 1, item="a"), share(0, 2, item="b")], SOLVER, 1)

    assert [found[item].vector.tolist() for item in "ab"] == [
        pytest.approx(whole(user), rel=1e-5) for user in (1, 2)
    ]


def test_shares_of_two_versions_or_twice_of_one_partition_are_a_bug_and_stop() -> None:
    other = ItemShare(ShareKey("v0.4", 0, "new"), 1, 0, np.zeros(21), np.zeros(6))
    with pytest.raises(ShapeError, match=r"v0\.3.*v0\.4"):
        solve_new_items([share(0, 1), other], SOLVER, 1)
    with pytest.raises(ShapeError, match="two shares"):
        solve_new_items([share(0, 1), share(0, 2)], SOLVER, 1)
