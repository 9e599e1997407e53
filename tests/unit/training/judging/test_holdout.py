"""What is held out: the newest, or drawn by the seed; ties never by ids or by a file's order."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from registry.versions.manifest import Order
from training.judging import holdout
from training.judging.holdout import hold_out

INDPTR = np.array([0, 40, 80])
TIED = np.zeros(80)


def held(time: NDArray[np.float64], order: Order, seed: int = 1) -> list[int]:
    return np.flatnonzero(hold_out(INDPTR, time, 0.25, order, seed)).tolist()


def test_ties_are_broken_by_the_seed_and_not_by_the_row() -> None:
    first, second = held(TIED, "time", 1), held(TIED, "time", 2)

    assert first == held(TIED, "time", 1)
    assert first != second
    assert first != [*range(30, 40), *range(70, 80)]
    assert [sum(row < 40 for row in part) for part in (first, second)] == [10, 10]


def test_releases_before_broke_ties_by_the_row() -> None:
    assert held(TIED, "rows") == [*range(30, 40), *range(70, 80)]


def test_the_newest_are_held_out_whatever_the_seed() -> None:
    time = np.arange(80.0)[::-1]

    assert held(time, "time", 1) == held(time, "time", 2) == [*range(10), *range(40, 50)]


def test_at_random_the_time_does_not_count() -> None:
    assert held(np.arange(80.0), "random") == held(TIED, "random")


def test_to_the_minute_what_is_of_the_same_minute_is_drawn() -> None:
    minutes, seconds = np.repeat(np.arange(2.0), 40), np.tile(np.arange(40.0), 2)

    assert held(60 * minutes + seconds, "minute") == held(60 * minutes, "time")


@pytest.mark.parametrize("order", ["time", "minute", "random", "rows"])
def test_the_blocks_that_users_are_looked_at_in_do_not_change_what_is_held_out(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = held(np.arange(80.0) // 7, order)
    monkeypatch.setattr(holdout, "ENTRIES_AT_ONCE", 5)

    assert held(np.arange(80.0) // 7, order) == whole
