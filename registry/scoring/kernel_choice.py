"""Which kernel serves a batch: the one that took less CPU time for a sample of real users.

No rule of thumb holds for all: it depends on the processor, on the size of the catalogue and of the
batch, and on how much the norms of its items differ. Both kernels are exact, so the choice never
changes an answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from registry.scoring.kernels import Hiding, Kernel
from registry.scoring.model_arrays import Factors

SIZES: Final = (1, 4, 16, 64)
"""Batches that are timed."""

MOST_SCORES: Final = 1 << 26
"""Of the largest batch that is timed: half a second of CPU time for each kernel, in the
thread that loads the version."""

QUICK_SCORES: Final = 1 << 22
"""Up to here, a batch is timed several times."""

TURNS: Final = 3
"""The quickest one counts: what disturbs a turn only makes it longer."""

NEVER: Final = math.inf
"""Of `first_size`: batches of no size."""


class KernelUse(NamedTuple):
    """Which kernel serves batches of which size.

    ``tiles_from`` is the smallest batch that is scanned in tiles; smaller ones, or all, are
    ``implicit``'s. ``share_read`` is the share of all scores that tiles take of a sample of users.

    >>> str(KernelUse(1, 0.25)), str(KernelUse(16, 1.0)), str(KernelUse(NEVER, 1.0))
    ('tiles, 25% read', 'tiles, 100% read; implicit below 16 users', 'implicit')
    """

    tiles_from: float
    share_read: float

    def __str__(self) -> str:
        """Say it for people."""
        if self.tiles_from == NEVER:
            return "implicit"
        share = f"tiles, {self.share_read:.0%} read"
        return share if self.tiles_from == 1 else f"{share}; implicit below {self.tiles_from} users"


class KernelTimes(NamedTuple):
    """Seconds of CPU time that each kernel took for a batch of `size` users."""

    size: int
    small: float
    large: float


def first_size(timed: Sequence[KernelTimes]) -> float:
    """Return the size from which on the kernel for large batches is quicker.

    Parameters
    ----------
    timed
        By rising size, at least one.

    Examples
    --------
    >>> first_size([KernelTimes(1, 1.0, 2.0), KernelTimes(4, 3.0, 2.5), KernelTimes(16, 9.0, 5.0)])
    4
    >>> first_size([KernelTimes(1, 1.0, 2.0)])
    inf
    """
    first: float = NEVER
    for size, small, large in reversed(timed):
        if large >= small:
            break
        first = size
    return first


def time_kernels(
    small: Kernel,
    large: Kernel,
    items: int,
    users: Factors,
    asked: int,
    hiding: Sequence[Hiding],
    timer: Callable[[], float],
) -> list[KernelTimes]:
    """Time both kernels on batches of the first of `users`.

    Parameters
    ----------
    small, large
        The kernels.
    items
        Of the catalogue.
    users
        float32 (n, factors), n > 0: users whom the version knows.
    asked
        Items for each.
    hiding
        What to hide from each.
    timer
        CPU time of this thread, in seconds.
    """

    def seconds(kernel: Kernel, size: int) -> float:
        taken = []
        for _ in range(TURNS if size * items <= QUICK_SCORES else 1):
            started = timer()
            kernel.propose(users[:size], asked, hiding[:size])
            taken.append(timer() - started)
        return min(taken)

    sizes = [size for size in SIZES if size <= len(users) and size * items <= MOST_SCORES]
    return [
        KernelTimes(size, seconds(small, size), seconds(large, size)) for size in sizes or SIZES[:1]
    ]
