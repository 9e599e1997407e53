"""The protocol of fold-in: users whom no model has seen, their first interactions, and the rest.

Knows cells, the fit and the judge; must not know settings or files. Each user with enough
interactions is left out once, by one of `PARTS` parts. Three lists are judged, once by the `NEXT`
interactions that follow the user's first n, and once by all that follow:

- *popularity* of the other users' items;
- *fold-in*: a model of the other users, and the first n interactions as fresh events;
- *full retraining*: a model that has learned from these interactions, too.

Each leaves out what the user's first n interactions name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.fold_in.fresh_vectors import FreshVectors
from registry.fold_in.loss_function import LossFunction
from registry.fold_in.merged_cells import UserEvents
from registry.fresh.fresh_events import FreshEvent
from registry.fresh.fresh_forgetting import FreshHistory
from registry.versions.manifest import Parameters
from training.data.cell_weights import weighing_of, weights
from training.data.cells_to_keep import cells_to_keep
from training.data.matrix import Cells, Factors, Mask, csr, only
from training.fitting.als import fit_als
from training.judging.holdout import Split
from training.judging.ranking_metrics import Judgement, Score, by_factors, by_popularity, judge

FIRST: Final = (3, 5, 10, 20)
"""Interactions that are folded in."""

LONGEST: Final = max(FIRST)

NEXT: Final = 10
"""The next interactions, as a request asks for them. All that follow are another question: what a
user watches at some time, which for one with hundreds of films is mostly what everybody watches."""

PARTS: Final = 5


class Lists(NamedTuple):
    """How good the lists of all left-out users are, (users,) NDCG@10 each."""

    popularity: NDArray[np.float64]
    fold_in: NDArray[np.float64]
    retrained: NDArray[np.float64]


class JudgedLists(NamedTuple):
    """How good the lists of all left-out users are after so many first interactions."""

    next: Lists
    all: Lists


def compare(
    cells: Cells, parameters: Parameters, seed: int, stronger: float = 1.0
) -> dict[int, JudgedLists]:
    """Return, by the number of first interactions, what each way earns.

    Parameters
    ----------
    cells
        All users'.
    parameters
        Of every fit; no transform is ``auto``.
    seed
        Draws the parts, and what came first of events of the same time.
    stronger
        Factor of the regularization of the fold-in alone.

    Returns
    -------
    Empty if no user has enough interactions.
    """
    random = np.random.default_rng(seed)
    place = _places(cells, random)
    judged = np.flatnonzero(np.diff(cells.indptr) >= LONGEST + NEXT)
    parts = np.array_split(random.permutation(judged), PARTS)
    found: dict[int, list[JudgedLists]] = {first: [] for first in FIRST}
    for part in parts:
        if len(part):
            for first, judged_by in _of_part(cells, parameters, place, np.sort(part), stronger):
                found[first].append(judged_by)
    return {
        first: JudgedLists(*(_joined(lists) for lists in zip(*of_parts, strict=True)))
        for first, of_parts in found.items()
        if of_parts
    }


def _joined(parts: Sequence[Lists]) -> Lists:
    return Lists(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _of_part(
    cells: Cells,
    parameters: Parameters,
    place: NDArray[np.int64],
    users: NDArray[np.int64],
    stronger: float,
) -> Iterator[tuple[int, JudgedLists]]:
    left_out = np.isin(cells.user, users)
    others = only(cells, ~left_out)
    factors = _fitted(others, parameters)
    popular = np.bincount(others.item, minlength=cells.shape[1]).astype(np.float64)
    version = _version(others, factors, parameters, stronger)
    for first in FIRST:
        seen = left_out & (place < first)
        folded = np.zeros_like(factors.users)
        folded[users] = _folded(version, cells, parameters, seen, users)
        again = _fitted(only(cells, ~left_out | seen), parameters)
        scores = (
            by_popularity(popular),
            by_factors(Factors(folded, factors.items)),
            by_factors(again),
        )
        rest = left_out & (place >= first)
        by = [
            _split(cells, parameters, seen, wanted, users, popular)
            for wanted in (rest & (place < first + NEXT), rest)
        ]
        yield (
            first,
            JudgedLists(*(Lists(*(_ndcg(score, split) for score in scores)) for split in by)),
        )


def _places(cells: Cells, random: np.random.Generator) -> NDArray[np.int64]:
    """Return (cells,): which of its user's interactions each one is, by time."""
    order = np.lexsort((random.random(len(cells.item)), cells.time, cells.user))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - cells.indptr[cells.user[order]]
    return place


def _fitted(cells: Cells, parameters: Parameters) -> Factors:
    weight = weights(cells, parameters)
    return fit_als(csr(cells, weight > 0, weight), parameters, 1, lambda _done: None)


def _version(
    cells: Cells, factors: Factors, parameters: Parameters, stronger: float
) -> FreshVectors:
    row_by_item = {item: row for row, item in enumerate(cells.item_ids)}
    return FreshVectors(
        factors.items,
        LossFunction(parameters.alpha, stronger * parameters.regularization),
        cells_to_keep(cells, parameters),
        weighing_of(cells, parameters),
        cells.indptr,
        cells.item,
        row_by_item.get,
    )


def _folded(
    version: FreshVectors,
    cells: Cells,
    parameters: Parameters,
    seen: Mask,
    users: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the vectors of users whose `seen` cells are their fresh events."""
    fresh = [
        UserEvents(None, FreshHistory(tuple(events)))
        for events in _events(only(cells, seen), parameters, users)
    ]
    found = version.of(fresh, [False] * len(fresh), fold_in_least=1)
    nothing = np.zeros(parameters.factors, np.float32)
    return np.stack([nothing if each.vector is None else each.vector for each in found])


def _events(
    cells: Cells, parameters: Parameters, users: NDArray[np.int64]
) -> Iterator[Sequence[FreshEvent]]:
    kept = cells_to_keep(cells, parameters)
    for user in users.tolist():
        found = kept.events_of(np.array([user]), cells.indptr, cells.item)
        yield [
            FreshEvent(cells.item_ids[item], kept.kinds[kind], value, time, offset)
            for offset, (item, kind, value, time) in enumerate(
                zip(*(column.tolist() for column in found[1:]), strict=True)
            )
        ]


def _split(
    cells: Cells,
    parameters: Parameters,
    seen: Mask,
    wanted: Mask,
    users: NDArray[np.int64],
    popular: NDArray[np.float64],
) -> Split:
    teaches = weights(cells, parameters) > 0
    relevant = csr(cells, wanted & teaches)
    known = users[np.diff(relevant.indptr)[users] > 0]
    return Split(wanted, csr(cells, seen & teaches), csr(cells, seen), relevant, known, popular)


def _ndcg(score: Score, by: Split) -> NDArray[np.float64]:
    found: Judgement | None = judge(score, by)
    return np.empty(0) if found is None else found.of("ndcg")
