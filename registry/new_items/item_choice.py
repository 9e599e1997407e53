"""Which new items of a version are solved for, and of which shares are made: the most used ones.

Pure. Must not know who uses them, or what their vectors are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from registry.ids import ItemId

MOST_ITEMS: Final = 500
"""New items of a version at a time, and of each partition of the interactions."""


def most_used_of_partition(items: NDArray[np.int64], users: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the `MOST_ITEMS` items with the most users; of equal ones, the first.

    Parameters
    ----------
    items, users
        (items,) their numbers in the log, and how many users of the partition each has.
    """
    most: NDArray[np.int64] = items[np.argsort(-users, kind="stable")[:MOST_ITEMS]]
    return most


def most_used_of_version(users: Mapping[ItemId, int], least_users: int) -> list[ItemId]:
    """Return the `MOST_ITEMS` items with the most users, and with enough; equal ones by id.

    Parameters
    ----------
    users
        How many each has, in all partitions.
    least_users
        Users that an item needs.
    """
    enough = [item for item, count in users.items() if count >= least_users]
    return sorted(enough, key=lambda item: (-users[item], str(item)))[:MOST_ITEMS]
