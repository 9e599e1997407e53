"""Minimums: users and items with too few interactions are left out, until everybody has enough.

Pure NumPy: knows cells and weights; must not know where the events come from, nor what is fitted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from registry.versions.manifest import Parameters
from training.data.cell_weights import weights
from training.data.matrix import Cells, Mask, Rows, UndoneCells, only, starts_of


def trim(cells: Cells, parameters: Parameters) -> Cells:
    """Return the cells of the users and items with enough of them that teach.

    A user needs ``min_user_interactions`` items that teach (weight above 0), an item
    ``min_item_interactions`` users. What is left out takes its cells along, which may bring others
    below their minimum; so this is repeated until nothing changes. The result is the largest set in
    which everybody has enough (the bipartite k-core), and does not depend on the order; one pass
    would leave users and items behind that break the promise.

    Parameters
    ----------
    cells
        The cells.
    parameters
        The two minimums, and those of :func:`training.data.cell_weights.weights`. Minimums of 0
        leave everything in.
    """
    least = (parameters.min_user_interactions, parameters.min_item_interactions)
    if not any(least):
        return cells
    teaches = weights(cells, parameters) > 0
    user, item = cells.user, cells.item
    users, items = (np.ones(rows, np.bool_) for rows in cells.shape)
    while True:
        counted = teaches & users[user] & items[item]
        enough = (
            np.bincount(user[counted], minlength=len(users)) >= least[0],
            np.bincount(item[counted], minlength=len(items)) >= least[1],
        )
        if (enough[0] >= users).all() and (enough[1] >= items).all():
            return _without_the_rest(only(cells, users[user] & items[item]))
        users, items = users & enough[0], items & enough[1]


def _without_the_rest(cells: Cells) -> Cells:
    """Return the cells with the rows of those users and items that have one."""
    per_user = np.diff(cells.indptr)
    users, items = per_user > 0, np.bincount(cells.item, minlength=cells.shape[1]) > 0
    row_of_user, row_of_item = _renumbered(users), _renumbered(items)
    return replace(
        cells,
        user_ids=_at(cells.user_ids, users),
        item_ids=_at(cells.item_ids, items),
        titles=_at(cells.titles, items),
        indptr=starts_of(per_user[users]),
        item=row_of_item[cells.item],
        undone={
            kind: UndoneCells(row_of_user[user[left]], row_of_item[item[left]], time[left])
            for kind, (user, item, time) in cells.undone.items()
            if (left := users[user] & items[item]).any()
        },
    )


def _renumbered(chosen: Mask) -> Rows:
    return np.cumsum(chosen, dtype=np.int32) - np.int32(1)


def _at(values: tuple[Any, ...], chosen: Mask) -> tuple[Any, ...]:
    return tuple(values[row] for row in np.flatnonzero(chosen))
