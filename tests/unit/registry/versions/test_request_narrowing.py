"""Narrowed answers: exactly the best of the rows that a request leaves, in the usual order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness.cells import each_cell
from msgspec.structs import replace

from registry.catalogue.availability import Withdrawals
from registry.catalogue.item_labels import labelled
from registry.scoring import candidate_ranking, similar_items
from registry.versions.model import Model
from tests.unit.registry.builders import a_manifest, a_request, some_arrays

GENRES = [["Drama"], ["Comedy"], ["Drama", "War"], [], ["War"], ["Comedy"], ["Drama"]]
LABELS = labelled([{"genre": values} if values else {} for values in GENRES])
NOBODY = "nobody"


def a_model(**given: Any) -> Model:
    return Model(a_manifest(), some_arrays(labels=LABELS, **given))


def ids(model: Model, **request: Any) -> list[Any]:
    (found,) = model.recommend([a_request(exclude_seen=False, **request)])
    return [item.item_id for item in found.items]


@each_cell("user", [1, NOBODY])
def test_only_candidates_show_in_the_order_that_they_have_among_all(user: Any) -> None:
    model = a_model()
    everything = ids(model, user_id=user)
    for some in (everything[::2], everything[::-1], everything[3:4]):
        found = ids(model, user_id=user, candidates=some)
        assert found == [item_id for item_id in everything if item_id in some]
        assert ids(model, user_id=user, candidates=some, k=1) == found[:1]


@each_cell("user", [1, NOBODY])
def test_labels_to_allow_and_to_exclude_act_together_and_on_popular_items_too(user: Any) -> None:
    model = a_model()
    everything = ids(model, user_id=user)
    dramas = [item for item in everything if "Drama" in GENRES[model.row_of(item) or 0]]
    assert ids(model, user_id=user, allow={"genre": ["Drama"]}) == dramas
    peaceful = [item for item in dramas if "War" not in GENRES[model.row_of(item) or 0]]
    filters = {"allow": {"genre": ["Drama"]}, "exclude": {"genre": ["War"]}}
    assert ids(model, user_id=user, **filters) == peaceful
    assert ids(model, user_id=user, candidates=peaceful[:1], **filters) == peaceful[:1]
    assert ids(model, user_id=user, allow={"genre": ["Noir"]}) == []


def test_unknown_items_are_left_out() -> None:
    model = a_model()
    known = ids(model)[0]
    request = a_request(candidates=[known, "x", "y", "x", known], exclude_seen=False)
    (found,) = model.recommend([request])
    assert [item.item_id for item in found.items] == [known]
    (none,) = model.recommend([replace(request, candidates=["x"])])
    assert none.items == []


@each_cell("user", [1, NOBODY])
def test_seen_excluded_and_withdrawn_items_never_show_among_candidates(user: Any) -> None:
    model = a_model()
    everything = ids(model, user_id=user)
    unseen = [item.item_id for item in model.recommend([a_request(user)])[0].items]
    (found,) = model.recommend([a_request(user, candidates=everything)])
    assert [item.item_id for item in found.items] == unseen
    first, second, *others = everything
    hiding = model.hiding(Withdrawals(frozenset([first]), 1))
    assert ids(hiding, user_id=user, candidates=everything, exclude_items=[second]) == others


def test_what_others_ask_for_changes_nothing() -> None:
    model = a_model()
    requests = [
        a_request(1),
        a_request(1, allow={"genre": ["Drama"]}),
        a_request(2, candidates=ids(model)[:4]),
        a_request(NOBODY, exclude={"genre": ["War"]}),
    ]
    assert model.recommend(requests) == [model.recommend([request])[0] for request in requests]


def test_of_many_rows_the_best_are_exact_to_the_bit_ties_included(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(1)
    factors = np.round(random.normal(size=(500, 8)), 1).astype(np.float32)
    factors[250:] = factors[:250]  # each score twice
    model = Model(a_manifest(), some_arrays(items=500, factors=8, item_factors=factors, seed=3))
    candidates = [model.arrays.item_ids[row] for row in random.permutation(500)[:300].tolist()]
    request = a_request(1, candidates=candidates, exclude_seen=False, k=20)
    all_scored = model.recommend([request])
    monkeypatch.setattr(candidate_ranking, "FEW", 30)
    monkeypatch.setattr(similar_items, "FEW", 30)
    assert model.recommend([request]) == all_scored
