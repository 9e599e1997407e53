"""How new items join a list: exactly by score, and hidden wherever known items would be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from registry.new_items.overlaid_lists import KnownList, new_in_lists
from registry.new_items.overlay import Overlay, PlacedVector, joined
from registry.wire.requests import Request, SessionItem
from registry.wire.responses import Item

USER = np.array([1.0, 0.0], np.float32)


def placed(score: float, offset: int = 7) -> PlacedVector:
    return PlacedVector(12, np.array([score, 5.0], np.float32), offset)


NEW = Overlay({"best": placed(9, 1), "b": placed(4, 2), 20: placed(4, 3), 3: placed(4, 4)})


def listed(
    *known: float, k: int = 3, most: int = 10, vector: Any = USER, seen: Any = (),
    withdrawn: Any = (), **given: Any,
) -> list[object]:  # fmt: skip
    items = [Item(f"k{number}", score) for number, score in enumerate(known)]
    given.setdefault("user_id", 1)
    request = Request("r", k=k, **given)
    found = new_in_lists(
        [KnownList(request, vector, known)], NEW, most, lambda _: set(seen), frozenset(withdrawn)
    )
    return [item.item_id for item in joined(items, found.get(0, []), k)]


def test_new_items_join_by_their_scores_known_ones_first_where_they_are_equal() -> None:
    assert listed(8, 5, 4) == ["best", "k0", "k1"]
    assert listed(8, 5, 4, k=6) == ["best", "k0", "k1", "k2", 3, 20]  # integers before strings
    assert listed(10, 9.5, 9) == ["k0", "k1", "k2"]
    assert listed() == ["best", 3, 20]
    assert listed(1, k=9) == ["best", 3, 20, "b", "k0"]


def test_no_more_of_them_than_allowed_the_best() -> None:
    assert listed(1, 1, 1, most=1) == ["best", "k0", "k1"]


@pytest.mark.parametrize(
    "given",
    [
        {"seen": ["best"]},
        {"withdrawn": ["best"]},
        {"exclude_items": ["best"]},
        {"items": [SessionItem("best")]},
        {"items": [SessionItem("best")], "user_id": None},
        {"candidates": ["b", "k0", 20]},
    ],
)
def test_what_hides_a_known_item_hides_a_new_one(given: dict[str, Any]) -> None:
    assert listed(8, 1, k=2, **given) == ["k0", 20 if "candidates" in given else 3]


def test_what_a_user_has_seen_shows_if_that_is_asked_for() -> None:
    assert listed(8, 1, k=1, seen=["best"], exclude_seen=False) == ["best"]


@pytest.mark.parametrize(
    "given", [{"allow": {"genre": ["x"]}}, {"exclude": {"genre": ["x"]}}, {"like": [1]}]
)
def test_labels_and_similar_items_get_no_new_items(given: dict[str, Any]) -> None:
    assert listed(1, k=2, **given) == ["k0"]


def test_a_popular_list_gets_none_and_each_list_of_a_batch_its_own() -> None:
    assert listed(1, k=2, vector=None) == ["k0"]
    other = np.array([0.0, -1.0], np.float32)  # to whom every new item has a score of -5
    lists = [
        KnownList(Request("r", user, k=1), vector, [1.0])
        for user, vector in ((1, other), (2, None), (3, USER))
    ]
    found = new_in_lists(lists, NEW, 1, lambda _: set(), ())
    assert found == {2: [Item("best", 9.0, vector_offset=1)]}
