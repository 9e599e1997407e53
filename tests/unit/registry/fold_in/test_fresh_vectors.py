"""Of users of a version: the source, the vector, and what counts as seen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from registry.fold_in.fresh_vectors import FreshVector, FreshVectors
from registry.fold_in.learned_cells import FurtherEvents, LearnedCells
from registry.fold_in.loss_function import LossFunction
from registry.fold_in.merged_cells import UserEvents
from registry.fold_in.row_solver import Entries, RowSolver
from registry.fresh.fresh_events import FreshEvent
from registry.fresh.fresh_forgetting import NOTHING_FRESH, FreshHistory
from registry.weighing import Weighing
from registry.wire.training_records.event_weights import parse_event_weights

ITEMS = "abcdefgh"
FACTORS = np.random.default_rng(0).normal(size=(len(ITEMS), 4)).astype(np.float32)
LOSS = LossFunction(1.0, 0.5)
LEARNED = LearnedCells(
    kinds=("watch", "rate"),
    kind=np.array([0, 0, 1], np.int8),
    value=np.array([1, 1, 5], np.float32),
    time=np.array([10, 11, 12], np.int32),
    further=FurtherEvents(
        np.array([2]), np.array([0], np.int8), np.ones(1, np.float32), np.array([9], np.int32)
    ),
    newest=12.0,
)
VERSION = FreshVectors(  # user 0 has seen a and b, user 1 has rated and watched c
    FACTORS,
    LOSS,
    LEARNED,
    Weighing(parse_event_weights("watch=1,rate=1:floor=2"), newest=12.0),
    np.array([0, 2, 3]),
    np.array([0, 1, 2], np.int32),
    lambda item: ITEMS.index(item) if item in ITEMS else None,
)


def did(*events: tuple[str, str, float, float], forgotten: bool = False) -> FreshHistory:
    fresh_events = (
        FreshEvent(item, event, value, time, offset)
        for offset, (item, event, value, time) in enumerate(events)
    )
    return FreshHistory(tuple(fresh_events), forgotten, 5.0 if forgotten else -math.inf)


def vector_of(row: int | None, history: FreshHistory, learned: bool = True) -> FreshVector:
    (found,) = VERSION.of([UserEvents(row, history)], [learned], fold_in_least=3)
    return found


def solved(**weights: float) -> list[float]:
    items = np.array([ITEMS.index(item) for item in weights], np.int32)
    entries = Entries(
        np.array([0, len(items)]), items, np.array(list(weights.values()), np.float32)
    )
    return RowSolver(FACTORS, LOSS).solve(entries)[0].tolist()


def seen_by(found: FreshVector) -> dict[str, float]:
    rows = zip(found.seen.tolist(), found.weight.tolist(), strict=True)
    return {ITEMS[row]: weight for row, weight in rows}


def test_a_known_user_without_anything_fresh_keeps_the_stored_vector() -> None:
    for history in (NOTHING_FRESH, did(("unknown", "watch", 1, 20)), did(("d", "like", 1, 20))):
        found = vector_of(0, history)

        assert (found.source, found.vector) == ("model", None)
        assert seen_by(found) == {"a": 1.0, "b": 1.0}


def test_a_known_users_vector_is_solved_from_learned_and_fresh_events() -> None:
    found = vector_of(1, did(("c", "rate", 3, 20), ("d", "watch", 1, 21)))

    assert found.source == "recomputed"
    assert seen_by(found) == {"c": 2.0, "d": 1.0}
    assert found.vector is not None
    assert found.vector.tolist() == solved(c=2, d=1)


def test_an_event_that_arrives_late_replaces_nothing_newer() -> None:
    assert seen_by(vector_of(1, did(("c", "rate", 3, 11.5)))) == {"c": 4.0}


def test_a_new_user_needs_three_items() -> None:
    two = (("a", "watch", 1.0, 20.0), ("d", "rate", 5.0, 20.0), ("e", "rate", 2.0, 20.0))
    few, enough = (
        vector_of(None, did(*two), False),
        vector_of(None, did(*two, ("f", "watch", 1, 9)), False),
    )

    assert (few.source, few.vector, seen_by(few)) == ("popular", None, {"a": 1, "d": 3, "e": 0})
    assert enough.source == "fold_in"
    assert enough.vector is not None
    assert enough.vector.tolist() == solved(a=1, d=3, f=1)


def test_of_a_forgotten_user_only_what_came_later_counts() -> None:
    gone = vector_of(0, did(forgotten=True))
    back = vector_of(0, did(*((item, "watch", 1.0, 20.0) for item in "cde"), forgotten=True))

    assert (gone.source, seen_by(gone)) == ("popular", {})
    assert (back.source, seen_by(back)) == ("fold_in", {"c": 1, "d": 1, "e": 1})


def test_a_user_with_fresh_events_for_a_compared_version_is_recomputed_for_both() -> None:
    (found,) = VERSION.of([UserEvents(0, NOTHING_FRESH)], [True], 3, compared_fresh=[True])

    assert found.source == "recomputed"
    assert found.vector is not None
    assert found.vector.tolist() == solved(a=1, b=1)


def test_each_item_contributes_its_part_of_a_score() -> None:
    found = vector_of(1, did(("d", "watch", 1, 21), ("e", "rate", 1, 22)))
    because = VERSION.because(found, FACTORS[6:])

    assert found.vector is not None
    assert because.sum(axis=0).tolist() == pytest.approx((FACTORS[6:] @ found.vector).tolist())
    assert because[[ITEMS[row] for row in found.seen].index("e")].tolist() == [0, 0]
    nobody = vector_of(None, NOTHING_FRESH, learned=False)
    assert VERSION.because(nobody, FACTORS[6:7]).shape == (0, 1)


def test_a_users_vector_holds_no_memory_of_the_rest_of_its_batch() -> None:
    fresh = did(("d", "watch", 1, 20), ("e", "watch", 1, 21))
    batch = [UserEvents(row, fresh) for row in (0, 1, 0)]

    for found in VERSION.of(batch, [True] * len(batch), fold_in_least=3):
        assert found.vector is not None
        assert found.vector.base is found.seen.base is found.weight.base is None
