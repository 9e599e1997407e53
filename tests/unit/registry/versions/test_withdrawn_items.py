"""Items that are withdrawn: in no answer of a version, and all others exactly as they were."""

from __future__ import annotations

import numpy as np
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from registry.catalogue.availability import Withdrawals
from registry.ids import ItemId
from registry.versions.model import Model
from registry.wire.requests import Request
from tests.unit.registry.builders import a_manifest, a_request, some_arrays

IDS: list[ItemId] = [1, "1", 2, "2", 0, "0", -1, "anna", 3, 4]
some_ids = st.sampled_from([*IDS, 99, "nobody"])
some_requests = st.builds(
    Request,
    request_id=st.just("r"),
    user_id=some_ids,
    k=st.integers(1, 12),
    exclude_seen=st.booleans(),
    exclude_items=st.lists(some_ids, max_size=4),
)


def a_model(seed: int = 0) -> Model:
    arrays = some_arrays(users=10, items=10, user_ids=IDS, item_ids=IDS, seed=seed)
    arrays.user_factors[3] = 0
    return Model(a_manifest(), arrays)


def withdrawn(*item_ids: ItemId) -> Withdrawals:
    return Withdrawals(frozenset(item_ids), offset=len(item_ids))


@given(
    st.lists(some_requests, max_size=12),
    st.lists(st.lists(some_ids, unique_by=repr), min_size=1, max_size=3),
    st.integers(0, 50),
)
def test_a_version_answers_as_if_each_request_had_excluded_what_is_withdrawn(
    requests: list[Request], steps: list[list[ItemId]], seed: int
) -> None:
    model = hiding = a_model(seed)
    for item_ids in steps:
        hiding = hiding.hiding(withdrawn(*item_ids))
    excluding = [
        replace(request, exclude_items=[*request.exclude_items, *steps[-1]]) for request in requests
    ]
    assert hiding.recommend(requests) == model.recommend(excluding)
    assert hiding.withdrawn_items == sum(item_id in steps[-1] for item_id in IDS)


def test_k_items_come_back_as_long_as_there_are_as_many() -> None:
    hiding = a_model().hiding(withdrawn(1, "1", 2))
    for user in (1, "a new user"):
        (found,) = hiding.recommend([a_request(user, k=7, exclude_seen=False)])
        assert len(found.items) == 7


def test_the_version_that_it_was_made_of_still_shows_them() -> None:
    model = a_model()
    requests = [a_request(1), a_request("a new user")]
    before = model.recommend(requests)
    model.hiding(withdrawn(*IDS))
    assert model.recommend(requests) == before
    assert model.withdrawn_items == 0


def test_everything_withdrawn_gives_nothing() -> None:
    hiding = a_model().hiding(withdrawn(*IDS))
    found = hiding.recommend([a_request(1), a_request("a new user")])
    assert [(made.items, made.source) for made in found] == [([], "model"), ([], "popular")]
    hiding.warm()


def test_items_that_the_version_does_not_know_are_not_counted() -> None:
    assert a_model().hiding(withdrawn(99, "nobody")).withdrawn_items == 0


@each_cell("threads", [1, 2])
def test_a_large_batch_hides_them_from_every_user(threads: int) -> None:
    model = Model(a_manifest(), some_arrays(users=250, items=300, factors=8))
    best = {found.items[0].item_id for found in model.recommend([a_request(u) for u in range(251)])}
    hiding = model.hiding(withdrawn(*best))
    for found in hiding.recommend([a_request(u, k=20) for u in range(251)], threads=threads):
        assert len(found.items) == 20
        assert not {item.item_id for item in found.items} & best


def test_arrays_are_shared() -> None:
    model = a_model()
    made = model.hiding(withdrawn(1))
    assert np.shares_memory(made.arrays.item_factors, model.arrays.item_factors)
