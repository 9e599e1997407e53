"""The model: the fast path against a slow readable twin, and everything that may never show."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.answers.recommendation import Recommendation
from registry.fresh.version_window import FreshUser
from registry.scoring.model_arrays import ModelArrays
from registry.versions.model import Model
from registry.wire.requests import Request
from tests.unit.registry.builders import a_manifest, a_request, some_arrays


def a_model(arrays: ModelArrays | None = None) -> Model:
    return Model(a_manifest(), arrays or some_arrays())


def ids_of(recommendation: Recommendation) -> list[int | str]:
    return [item.item_id for item in recommendation.items]


def scores_of(recommendation: Recommendation) -> list[float]:
    return [item.score for item in recommendation.items]


# --- the slow twin ----------------------------------------------------------------------------


def row_of(wanted: Any, ids: list[Any]) -> int | None:
    return next(
        (
            row
            for row, item_id in enumerate(ids)
            if type(item_id) is type(wanted) and item_id == wanted
        ),
        None,
    )


def slow_scores(arrays: ModelArrays, request: Request) -> tuple[dict[int, float], str]:
    """Return the score by row of every item that may be shown, and the source."""
    user = row_of(request.user_id, arrays.user_ids)
    hidden = {row_of(item_id, arrays.item_ids) for item_id in request.exclude_items}
    if user is not None and request.exclude_seen:
        start, end = arrays.seen_indptr[user], arrays.seen_indptr[user + 1]
        hidden |= {int(row) for row in arrays.seen_items[start:end]}
    shown = [row for row in range(len(arrays.item_ids)) if row not in hidden]
    if user is None or not any(arrays.user_factors[user]):
        return {row: float(arrays.popularity[row]) for row in shown}, "popular"
    factors = arrays.user_factors[user]
    return {
        row: sum(
            float(a) * float(b) for a, b in zip(factors, arrays.item_factors[row], strict=True)
        )
        for row in shown
    }, "model"


def assert_as_the_twin(arrays: ModelArrays, request: Request, made: Recommendation) -> None:
    scores, source = slow_scores(arrays, request)
    best = sorted(scores, key=lambda row: (-scores[row], row))[: request.k]
    assert made.source == source
    assert [row_of(item.item_id, arrays.item_ids) for item in made.items] == best
    for row, item in zip(best, made.items, strict=True):
        # exact: the builders' factors are whole numbers
        assert (item.score, item.title) == (scores[row], arrays.titles[row])
        assert type(item.item_id) is type(arrays.item_ids[row])


MIXED_IDS: list[int | str] = [1, "1", 2, "2", 0, "", -1, "anna", 3, 4]
some_ids = st.sampled_from([*MIXED_IDS, 99, "99", "nobody"])
some_requests = st.builds(
    Request,
    request_id=st.just("r"),
    user_id=some_ids,
    k=st.one_of(st.integers(1, 12), st.sampled_from([100, 1000])),
    exclude_seen=st.booleans(),
    exclude_items=st.lists(some_ids, max_size=12),
)


@given(requests=st.lists(some_requests, max_size=20), seed=st.integers(0, 50))
def test_a_batch_gives_what_the_slow_twin_gives_one_by_one(
    requests: list[Request], seed: int
) -> None:
    arrays = some_arrays(users=10, items=10, user_ids=MIXED_IDS, item_ids=MIXED_IDS, seed=seed)
    arrays.user_factors[3] = 0  # training taught nothing of this one
    made = a_model(arrays).recommend(requests)
    assert len(made) == len(requests)
    for request, recommendation in zip(requests, made, strict=True):
        assert_as_the_twin(arrays, request, recommendation)


@each_cell("threads", [1, 2])
def test_a_batch_of_several_slices_keeps_its_order(threads: int) -> None:
    arrays = some_arrays(users=250, items=25)
    requests = [a_request(1 + (number * 7) % 260, k=1 + number % 20) for number in range(250)]
    made = a_model(arrays).recommend(requests, threads=threads)
    for request, recommendation in zip(requests, made, strict=True):
        assert_as_the_twin(arrays, request, recommendation)


def test_scores_are_pinned_by_hand() -> None:
    arrays = some_arrays(
        users=2,
        items=3,
        factors=2,
        user_factors=np.array([[1, 2], [0, 1]], np.float32),
        item_factors=np.array([[3, 0], [0, 2], [1, 1]], np.float32),
        seen_indptr=np.array([0, 0, 1]),
        seen_items=np.array([1], np.int32),
        popularity=np.array([1.0, 5.0, 5.0]),
    )
    known, two, cold = a_model(arrays).recommend([a_request(user) for user in (1, 2, 3)])
    assert [
        tuple(item.__getattribute__(n) for n in ("item_id", "score")) for item in known.items
    ] == [
        ("film-1", 4.0),
        ("film-0", 3.0),
        ("film-2", 3.0),
    ]
    assert (ids_of(two), scores_of(two)) == (["film-2", "film-0"], [1.0, 0.0])
    assert (ids_of(cold), scores_of(cold)) == (["film-1", "film-2", "film-0"], [5.0, 5.0, 1.0])
    assert (known.source, two.source, cold.source) == ("model", "model", "popular")


# --- what may never show ----------------------------------------------------------------------


def test_no_requests_give_no_recommendations() -> None:
    assert a_model().recommend([]) == []


def test_a_k_beyond_the_catalogue_gives_each_item_once() -> None:
    for user in (1, "nobody"):
        (made,) = a_model().recommend([a_request(user, k=1000, exclude_seen=False)])
        assert sorted(map(str, ids_of(made))) == sorted(map(str, some_arrays().item_ids))


def test_a_user_who_has_seen_everything_gets_nothing_and_no_padding() -> None:
    arrays = some_arrays(
        users=1, seen_indptr=np.array([0, 7]), seen_items=np.arange(7, dtype=np.int32)
    )
    model = a_model(arrays)
    (made,) = model.recommend([a_request(1)])
    assert (made.items, made.source) == ([], "model")
    assert len(model.recommend([a_request(1, exclude_seen=False)])[0].items) == 7


def test_everything_excluded_gives_nothing() -> None:
    everything = some_arrays().item_ids
    made = a_model().recommend([a_request(user, exclude_items=everything) for user in (1, 99)])
    assert [(got.items, got.source) for got in made] == [([], "model"), ([], "popular")]


def test_items_to_exclude_that_do_not_exist_are_ignored() -> None:
    model = a_model()
    assert model.recommend([a_request(1, exclude_items=["no such", 7, ""])]) == model.recommend(
        [a_request(1)]
    )


def test_5_and_text_5_are_different_users_and_different_items() -> None:
    arrays = some_arrays(users=2, items=2, user_ids=[5, "5"], item_ids=["5", 5])
    model = a_model(arrays)
    for user in (5, "5"):
        assert_as_the_twin(arrays, a_request(user), model.recommend([a_request(user)])[0])
    for item in (5, "5"):
        (made,) = model.recommend([a_request(5, exclude_items=[item], exclude_seen=False)])
        (shown,) = ids_of(made)
        assert shown == {5: "5", "5": 5}[item]


@each_cell("not_an_id", [True, 1.0])
def test_a_bool_or_float_is_not_the_integer_it_equals(not_an_id: Any) -> None:
    model = a_model(some_arrays(item_ids=[1, *"bcdefg"]))
    assert model.recommend([a_request(not_an_id)])[0].source == "popular"
    (made,) = model.recommend([a_request(1, exclude_items=[not_an_id], exclude_seen=False)])
    assert 1 in ids_of(made)


def test_popularity_breaks_ties_by_row_and_hides_what_a_user_without_factors_has_seen() -> None:
    arrays = some_arrays(
        users=2,
        items=4,
        popularity=np.array([2.0, 3.0, 2.0, 0.0]),
        user_factors=np.array([[0, 0, 0], [1, 1, 1]], np.float32),
        seen_indptr=np.array([0, 1, 1]),
        seen_items=np.array([1], np.int32),
    )
    zero, nobody = a_model(arrays).recommend([a_request(1), a_request("nobody", k=2)])
    assert (ids_of(zero), zero.source) == (["film-0", "film-2", "film-3"], "popular")
    assert (ids_of(nobody), scores_of(nobody)) == (["film-1", "film-0"], [3.0, 2.0])


def test_every_answer_is_python_values_that_json_can_carry() -> None:
    for recommendation in a_model().recommend([a_request(1), a_request("nobody")]):
        for item in recommendation.items:
            assert type(item.item_id) in (int, str)
            assert type(item.score) is float


def test_one_large_k_does_not_change_the_answers_of_others() -> None:
    model = a_model(some_arrays(users=50, items=200, factors=8))
    requests = [a_request(user, k=10) for user in range(1, 50)]
    alone = model.recommend(requests)
    assert model.recommend([*requests, a_request(50, k=1000)])[:-1] == alone


def test_warming_scores_without_changing_anything() -> None:
    model = a_model()
    before = model.recommend([a_request(1)])
    model.warm()
    assert model.recommend([a_request(1)]) == before


def test_it_says_what_it_is_and_how_large() -> None:
    model, arrays = a_model(), some_arrays()
    assert (model.version, model.manifest) == ("v0.1", a_manifest())
    assert (model.users, model.items) == (5, 7)
    assert model.size_bytes == sum(
        getattr(arrays, name).nbytes
        for name in ("user_factors", "item_factors", "seen_indptr", "seen_items", "popularity")
    )


# --- what is fresh ----------------------------------------------------------------------------


def lately(*rows: int, forgotten: bool = False) -> FreshUser:
    return FreshUser(forgotten, np.array(rows, np.int32))


@each_cell("user", [1, "nobody"])
def test_what_was_seen_since_the_snapshot_is_hidden_from_known_and_unknown_users(user: Any) -> None:
    model = a_model()
    (before,) = model.recommend([a_request(user)])
    gone = before.items[0].item_id
    row = model.row_of(gone)
    assert row is not None

    (after,) = model.recommend([a_request(user)], fresh=[lately(row)])

    assert gone not in ids_of(after)
    assert ids_of(after)[0] == before.items[1].item_id


def test_it_shows_where_seen_items_are_asked_for() -> None:
    model, request = a_model(), a_request(1, exclude_seen=False)

    assert model.recommend([request], fresh=[lately(0, 1)]) == model.recommend([request])


def test_who_was_forgotten_is_nobody_though_the_version_knows_him() -> None:
    model = a_model()

    (forgotten,) = model.recommend([a_request(1, k=7)], fresh=[lately(forgotten=True)])

    assert forgotten == model.recommend([a_request("nobody", k=7)])[0]


def test_what_one_user_did_changes_nothing_for_others() -> None:
    model, requests = a_model(), [a_request(1), a_request(2)]

    made = model.recommend(requests, fresh=[lately(0, forgotten=True), None])

    assert made[1] == model.recommend(requests)[1]
