"""The protocol of new items: items that no model has seen, half of their users, and the others.

Knows cells, the fit and the workers' own lists; must not know settings or files. Each item with
enough users is left out of training once, by one of `PARTS` parts, and half of its users' events
come as fresh ones. Of each user who is among the other half, a tenth of all other items are held
out, too. Lists of ten, from which all is left out that was learned or fed, are judged by what was
held out:

- *none*: a model without the new items, and no overlay;
- *overlay*: the same, with the overlay that the fed half makes;
- *full retraining*: a model that has learned from the fed half.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.fold_in.loss_function import LossFunction
from registry.fold_in.row_solver import Entries, RowSolver
from registry.fresh.fresh_sight import NEW_ITEMS
from registry.new_items.overlaid_lists import KnownList, new_in_lists
from registry.new_items.overlay import Overlay, PlacedVector, joined
from registry.versions.manifest import Parameters
from registry.wire.requests import Request
from registry.wire.responses import Item
from training.data.cell_weights import weights
from training.data.matrix import Cells, Factors, Mask, csr, only
from training.fitting.als import fit_als

LEAST_USERS: Final = 10
"""Users of an item that are fed, as many as the setting's default asks for."""

PARTS: Final = 5
LENGTH: Final = 10
HELD_OUT: Final = 0.1
"""Of the judged users' other items."""


class Hits(NamedTuple):
    """Of each judged user: in which share of his lists is something held out, any or a new item."""

    any: NDArray[np.float64]
    new: NDArray[np.float64]


class NewItemLists(NamedTuple):
    """How good the lists of all judged users are."""

    none: Hits
    overlay: Hits
    retrained: Hits


def compare_new_items(cells: Cells, parameters: Parameters, seed: int) -> NewItemLists | None:
    """Return what each way earns; None if no item has enough users.

    Parameters
    ----------
    cells
        All.
    parameters
        Of every fit; no transform is ``auto``.
    seed
        Draws the parts, the halves and what is held out.
    """
    random = np.random.default_rng(seed)
    users = np.bincount(cells.item, minlength=cells.shape[1])
    enough = random.permutation(np.flatnonzero(users >= 2 * LEAST_USERS))
    parts = [
        _of_part(cells, parameters, part, random)
        for part in np.array_split(enough, PARTS)
        if len(part)
    ]
    if not parts:
        return None
    judged = np.concatenate([users for users, _ in parts])
    return NewItemLists(
        *(
            Hits(*(_by_user(judged, np.concatenate(hits)) for hits in zip(*lists, strict=True)))
            for lists in zip(*(lists for _, lists in parts), strict=True)
        )
    )


def _by_user(judged: NDArray[np.int32], hits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each user's lists, one of each part in which he is judged."""
    lists = np.bincount(judged)
    found: NDArray[np.float64] = np.bincount(judged, hits)[lists > 0] / lists[lists > 0]
    return found


class _Listed(NamedTuple):
    """A user's list, and how it was asked for."""

    asked: KnownList
    items: list[Item]


def _of_part(
    cells: Cells, parameters: Parameters, items: NDArray[np.int64], random: np.random.Generator
) -> tuple[NDArray[np.int32], NewItemLists]:
    is_new = np.isin(cells.item, items)
    fed = is_new & _half(cells, random)
    weight = weights(cells, parameters)
    teaches = weight > 0
    judged = np.unique(cells.user[is_new & ~fed & teaches]).astype(np.int32)
    held = ~is_new & np.isin(cells.user, judged) & (random.random(len(cells.item)) < HELD_OUT)
    learned = ~is_new & ~held
    factors, again = (_fitted(cells, parameters, mask) for mask in (learned, learned | fed))
    known = ~np.isin(np.arange(cells.shape[1]), items)
    lists = list(_lists(cells, factors, judged, learned, known))
    overlay = _overlay(cells, parameters, factors, items, fed & teaches, weight)
    seen = {user: set(cells.item[(cells.user == user) & fed].tolist()) for user in judged.tolist()}
    new = new_in_lists(
        [each.asked for each in lists], overlay, NEW_ITEMS, lambda user: seen[int(user)], ()
    )
    with_new = [joined(each.items, new.get(n, []), LENGTH) for n, each in enumerate(lists)]
    retrained = _lists(cells, again, judged, learned | fed, np.ones_like(known))
    wanted = (held | (is_new & ~fed)) & teaches
    return judged, NewItemLists(
        *(
            _hits(cells, judged, items, wanted, ways)
            for ways in (
                [each.items for each in lists],
                with_new,
                [each.items for each in retrained],
            )
        )
    )


def _half(cells: Cells, random: np.random.Generator) -> Mask:
    """Return half of each item's cells, the larger one if they are odd."""
    order = np.lexsort((random.random(len(cells.item)), cells.item))
    first = np.searchsorted(cells.item[order], np.arange(cells.shape[1]))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - first[cells.item[order]]
    half: Mask = place < (np.bincount(cells.item, minlength=cells.shape[1])[cells.item] + 1) // 2
    return half


def _fitted(cells: Cells, parameters: Parameters, mask: Mask) -> Factors:
    chosen = only(cells, mask)
    weight = weights(chosen, parameters)
    return fit_als(csr(chosen, weight > 0, weight), parameters, 1, lambda _done: None)


def _lists(
    cells: Cells, factors: Factors, users: NDArray[np.int32], seen: Mask, known: Mask
) -> Iterator[_Listed]:
    for user in users.tolist():
        scores = factors.items @ factors.users[user]
        scores[~known] = -np.inf
        scores[cells.item[(cells.user == user) & seen]] = -np.inf
        best = np.argsort(-scores, kind="stable")[:LENGTH].tolist()
        items = [Item(row, float(scores[row])) for row in best]
        request = Request("", user, k=LENGTH)
        asked = KnownList(request, factors.users[user], [item.score for item in items])
        yield _Listed(asked, items)


def _overlay(
    cells: Cells,
    parameters: Parameters,
    factors: Factors,
    items: NDArray[np.int64],
    fed: Mask,
    weight: NDArray[np.float32],
) -> Overlay:
    has_vector: Mask = np.any(factors.users, axis=1)
    fed = fed & has_vector[cells.user]
    place = np.flatnonzero(fed)
    place = place[np.argsort(cells.item[place], kind="stable")]
    indptr = np.searchsorted(cells.item[place], np.append(np.sort(items), cells.shape[1]))
    solver = RowSolver(factors.users, LossFunction(parameters.alpha, parameters.regularization))
    vectors = solver.solve(
        Entries(indptr.astype(np.int64), cells.user[place].astype(np.int32), weight[place])
    )
    placed = zip(np.sort(items).tolist(), vectors, strict=True)
    return Overlay({item: PlacedVector(LEAST_USERS, vector, 0) for item, vector in placed})


def _hits(
    cells: Cells,
    users: NDArray[np.int32],
    new: NDArray[np.int64],
    wanted: Mask,
    lists: list[list[Item]],
) -> Hits:
    found = []
    for user, items in zip(users.tolist(), lists, strict=True):
        rows = np.array([item.item_id for item in items])
        hits = np.intersect1d(rows, cells.item[(cells.user == user) & wanted])
        found.append((len(hits) > 0, bool(np.isin(hits, new).any())))
    both = np.array(found, np.float64)
    return Hits(both[:, 0], both[:, 1])
