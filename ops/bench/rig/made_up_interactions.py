"""Synthetic interactions with tastes, in any number, the same for all sides of a benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from registry.ids import UserId

SEED: Final = 42

PER_USER: Final = 50
PER_ITEM: Final = 500
TASTES: Final = 20
"""Users and items are of one taste each. Without any there would be nothing to learn, the gate
would refuse, and publication would not be measured."""

OWN_TASTE: Final = 0.8
EXPONENT: Final = 0.5
"""The n-th user, or item, has n^-0.5 of the first one's interactions. With more, most would be of
the same pairs again, and the matrix small."""

CHUNK: Final = 1_000_000
Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class MadeUpSizes:
    """How much there is to learn from."""

    interactions: int

    @property
    def users(self) -> int:
        """How many users there are at most."""
        return max(100, self.interactions // PER_USER)

    @property
    def items(self) -> int:
        """How many items there are at most."""
        return max(100, self.interactions // PER_ITEM)


def records(sizes: MadeUpSizes) -> Iterator[tuple[UserId, bytes]]:
    """Yield interactions as (key, record); the same ones for the same sizes."""
    at = 0
    for user, item in pairs(sizes):
        for one_user, one_item in zip(user.tolist(), item.tolist(), strict=True):
            at += 1
            yield (
                one_user,
                b'{"user_id":%d,"item_id":%d,"event":"watch","timestamp":%d}'
                % (one_user, one_item, at),
            )


def pairs(sizes: MadeUpSizes) -> Iterator[Pairs]:
    """Yield the users and the items of the interactions, some at a time.

    >>> user, item = next(pairs(MadeUpSizes(1000)))
    >>> len(user), bool(np.mean(user % TASTES == item % TASTES) > 0.7)
    (1000, True)
    """
    random = np.random.default_rng(SEED)
    for start in range(0, sizes.interactions, CHUNK):
        count = min(CHUNK, sizes.interactions - start)
        user = _by_power_law(random.random(count), sizes.users)
        item = _by_power_law(random.random(count), sizes.items // TASTES)
        own = random.random(count) < OWN_TASTE
        taste = np.where(own, user % TASTES, random.integers(0, TASTES, count))
        yield user, item * TASTES + taste


def _by_power_law(share: npt.NDArray[np.float64], many: int) -> npt.NDArray[np.int64]:
    """Return ranks, from 0, that fall off with `EXPONENT`: the inverse of its distribution."""
    return np.floor(many * share ** (1 / (1 - EXPONENT))).astype(np.int64)
