"""The kernel that was quicker for a sample serves, and no other size is guessed at."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
from harness.cells import each_cell

from registry.scoring.kernel_choice import MOST_SCORES, NEVER, KernelTimes, first_size, time_kernels
from registry.scoring.kernels import Hiding, ItemRows, Proposal
from registry.scoring.model_arrays import Factors

USERS = np.ones((64, 2), np.float32)
NOTHING: list[Hiding] = []


class Recording:
    name = "recording"

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def propose(
        self,
        users: Factors,
        asked: int,
        hiding: Sequence[Hiding],
        withdrawn: ItemRows | None = None,
        threads: int = 1,
    ) -> Proposal:
        self.sizes.append(len(users))
        return np.zeros((len(users), asked), np.int32), np.zeros((len(users), asked), np.float32)


@each_cell(
    ("seconds", "expected"),
    [
        ([(1, 1, 2), (4, 2, 3), (16, 5, 4), (64, 9, 5)], 16),
        ([(1, 2, 1), (4, 3, 1)], 1),
        ([(1, 2, 1), (4, 3, 4), (16, 5, 4)], 16),
        ([(1, 2, 1), (4, 3, 4)], NEVER),
        ([(1, 1, 1)], NEVER),
    ],
)
def test_tiles_serve_from_the_size_on_from_which_they_are_always_quicker(
    seconds: list[tuple[int, float, float]], expected: float
) -> None:
    assert first_size([KernelTimes(*timed) for timed in seconds]) == expected


@each_cell(
    ("items", "users", "sizes"),
    [
        (100, 64, [1, 4, 16, 64]),
        (100, 5, [1, 4]),
        (MOST_SCORES // 4, 64, [1, 4]),
        (MOST_SCORES * 2, 64, [1]),
    ],
)
def test_only_batches_that_can_be_afforded_are_timed(
    items: int, users: int, sizes: list[int]
) -> None:
    small, large = Recording(), Recording()
    timed = time_kernels(small, large, items, USERS[:users], 1, NOTHING, count().__next__)
    assert [size for size, *_ in timed] == sizes
    assert set(small.sizes) == set(large.sizes) == set(sizes)
