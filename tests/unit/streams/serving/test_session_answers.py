"""Answers from a session, from items that somebody likes, and what an answer comes from."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from harness.builders import a_record, an_answering, some_rules
from harness.cells import each_cell

from ops.bench.rig.synthetic import watched_once
from registry.answers.recommendation import Recommendation
from registry.fold_in.loss_function import LossFunction
from registry.fold_in.row_solver import Entries, RowSolver
from registry.fresh.event_columns import EventBatch
from registry.fresh.event_log import EventLog
from registry.fresh.fresh_sight import FreshRange, FreshSight
from registry.ids import UserId
from registry.versions.model import Model
from registry.wire.codec import decode, encode
from registry.wire.requests import Request, SessionItem
from registry.wire.responses import Response
from registry.wire.training_records.event_weights import EventWeight
from streams.serving.answering import answer_batch
from streams.serving.fresh_answers import recommend_seeing
from tests.unit.registry.builders import a_canary_state, a_manifest, some_arrays

ITEMS = tuple(f"film-{row}" for row in range(7))
KNOWN = 1


def a_model(version: str = "v0.1", learned: bool = True) -> Model:
    arrays = some_arrays(popularity=np.arange(1.0, 8.0))
    if learned:
        arrays = dataclasses.replace(arrays, learned=watched_once(len(arrays.seen_items)))
    return Model(a_manifest(version), arrays)


def a_request(user: Any = None, *items: str, **more: Any) -> Request:
    session = [SessionItem(item) for item in items] or None
    return Request("r1", user, 7, items=session, **more)


def answer(model: Model, request: Request, sight: FreshSight | None = None) -> Recommendation:
    plain = Request("r2", 2)
    expected = model.recommend([plain])[0]
    found, other, again = recommend_seeing(model, [request, plain, request], sight)
    assert other == expected
    assert again == found
    return found


def sight_of(model: Model, user: UserId, *items: str, event: str = "watch") -> FreshSight:
    log = EventLog(1 << 62)
    log.begin({0: 0})
    for offset, item in enumerate(items):
        log.take(0, EventBatch([offset], [user], [item], [event], [1.0], [2e9]), offset + 1)
    ranges = {
        model.version: FreshRange.of({"0": (0, 0)}, {"watch": EventWeight(1.0)}, model.row_of)
    }
    return FreshSight(log.frozen, ranges, {0: (0,)})


def seen_by(model: Model, user: int) -> list[str]:
    bounds = model.arrays.seen_indptr[[user - 1, user]]
    return [ITEMS[row] for row in model.arrays.seen_items[slice(*bounds)]]


def expected(model: Model, *items: str) -> dict[Any, float]:
    """Return the scores of all others, by a vector of one watch of each item."""
    rows = np.array(sorted({ITEMS.index(item) for item in items}), np.int32)
    entries = Entries(np.array([0, len(rows)]), rows, np.ones(len(rows), np.float32))
    vector = RowSolver(model.arrays.item_factors, LossFunction(1.0, 0.05)).solve(entries)[0]
    scores = model.arrays.item_factors @ vector
    return {item: float(scores[row]) for row, item in enumerate(ITEMS) if item not in items}


def scores_of(found: Recommendation) -> dict[Any, float]:
    return {item.item_id: item.score for item in found.items}


def test_an_anonymous_request_is_folded_in_from_one_item_on_with_or_without_a_sight() -> None:
    model = a_model()
    for sight in (None, sight_of(model, 5, "film-3")):
        found = answer(model, a_request(None, "film-6"), sight)
        assert found.source == "fold_in"
        assert scores_of(found) == pytest.approx(expected(model, "film-6"), rel=1e-5)


def test_an_anonymous_request_never_gets_what_a_user_of_its_session_id_has() -> None:
    model = a_model()
    request = Request("r1", k=7, items=[SessionItem("film-6")], session_id="anna")
    found = answer(model, request, sight_of(model, "anna", "film-1", "film-2"))
    assert scores_of(found) == pytest.approx(expected(model, "film-6"), rel=1e-5)


def test_the_items_of_a_session_come_on_top_of_what_is_learned_and_fresh() -> None:
    model = a_model()
    seen = seen_by(model, KNOWN)
    first, second = [item for item in ITEMS if item not in seen][:2]
    found = answer(model, a_request(KNOWN, first), sight_of(model, KNOWN, second))
    assert found.source == "recomputed"
    assert scores_of(found) == pytest.approx(expected(model, *seen, first, second), rel=1e-5)


def test_a_user_who_was_forgotten_has_only_what_he_does_since() -> None:
    model = a_model()
    sight = sight_of(model, KNOWN, "film-0", event="forget")
    found = answer(model, a_request(KNOWN, "film-6"), sight)
    assert found.source == "fold_in"
    assert scores_of(found) == pytest.approx(expected(model, "film-6"), rel=1e-5)


def test_a_version_that_cannot_fold_in_hides_what_a_session_has_seen() -> None:
    model = a_model(learned=False)
    found = answer(model, a_request(None, "film-6"))
    assert (found.source, len(found.items), "film-6" in scores_of(found)) == ("popular", 6, False)
    known = answer(model, a_request(KNOWN, *ITEMS[:3]))
    assert known.source == "model"
    assert not set(ITEMS[:3]) & set(scores_of(known))


@each_cell("event", ["watch", "unknown"])
def test_what_teaches_nothing_gives_popular_items(event: str) -> None:
    item = "nothing" if event == "watch" else "film-6"
    request = Request("r1", items=[SessionItem(item, event)])
    assert answer(a_model(), request).source == "popular"


@each_cell("source", ["model", "recomputed", "fold_in"])
def test_what_an_answer_comes_from_adds_up_to_its_score(source: str) -> None:
    model = a_model()
    items = {"model": (), "recomputed": ("film-6",), "fold_in": ("film-6", "film-2")}[source]
    user = None if source == "fold_in" else KNOWN
    found = answer(model, a_request(user, *items, explain=True, exclude_seen=False))
    own = {*items, *(seen_by(model, KNOWN) if user else ())}
    assert found.source == source
    for item in found.items:
        shares = [because.contribution for because in item.because]
        assert shares == sorted(shares, reverse=True)
        assert min(shares, default=1) > 0
        assert {because.item_id for because in item.because} <= own
        if len(item.because) == len(own) and source != "model":
            assert sum(shares) == pytest.approx(item.score, rel=1e-4)
    assert any(item.because for item in found.items)


def test_popular_items_come_from_nothing() -> None:
    found = answer(a_model(), a_request("nobody", explain=True))
    assert found.source == "popular"
    assert all(item.because == [] for item in found.items)


def test_nearest_items_leave_out_what_is_named_and_what_the_user_has_seen() -> None:
    model = a_model()
    found = answer(model, a_request(None, like=["film-0", "film-3", "nothing"]))
    assert found.source == "similar"
    assert set(scores_of(found)) == set(ITEMS) - {"film-0", "film-3"}
    assert [item.score for item in found.items] == sorted(scores_of(found).values(), reverse=True)
    known = answer(model, a_request(KNOWN, like=["film-0"]))
    assert set(scores_of(known)) == set(ITEMS) - {"film-0", *seen_by(model, KNOWN)}
    few = answer(model, a_request(None, like=["film-0"], candidates=["film-0", "film-2"]))
    assert set(scores_of(few)) == {"film-2"}
    assert answer(model, a_request(None, like=["nothing"])).source == "popular"


# --- through the answering ---------------------------------------------------------------------


def answered(request: Request, **models: Model) -> tuple[Response, Any]:
    made = {"v0.1": a_model(), "v0.2": a_model("v0.2")} | models
    rules = some_rules(a_canary_state(), made)
    batch = answer_batch([a_record(encode(request))], an_answering(made, rules))
    return decode(Response, batch.answers[0].payload), batch


def test_an_anonymous_request_is_assigned_by_its_session_and_counts_as_no_user() -> None:
    versions = set()
    for number in range(60):
        request = Request(
            f"r{number}", items=[SessionItem("film-6")], session_id=f"session-{number % 30}"
        )
        response, batch = answered(request)
        versions.add((request.session_id, response.model_version))
        assert (response.user_id, response.session_id) == (None, request.session_id)
        assert not any(batch.users.values())
        assert sum(arm.requests for arm in batch.arms.values()) == 1
        assert not batch.samples
    assert len(versions) == 30
    assert {version for _, version in versions} == {"v0.1", "v0.2"}


@each_cell(
    ("request_", "why"),
    [
        (Request("r1", 1, session_id="s"), "session_id is for requests without"),
        (Request("r1", 1, like=["a"], items=[SessionItem("a")]), "like and items"),
        (Request("r1", 1, like=["a"], explain=True), "explain is about"),
        (Request("r1", 1, items=[SessionItem("a", "forget")]), "a forget"),
        (Request("r1", 1, items=[SessionItem("a", "rate")]), "needs a value"),
    ],
)
def test_fields_that_do_not_go_together_are_an_error_answer(request_: Request, why: str) -> None:
    response, batch = answered(request_)
    assert response.error is not None
    assert (response.status, response.error.code) == ("error", "bad_combination")
    assert why in response.error.message
    assert not batch.arms


def test_the_reason_says_why_there_is_no_own_list() -> None:
    old = {"v0.1": a_model(learned=False), "v0.2": a_model("v0.2", learned=False)}
    film, nothing = [SessionItem("film-6")], [SessionItem("nothing")]
    assert answered(Request("r1", items=film), **old)[0].fallback_reason == "no_fold_in"
    response, _ = answered(Request("r1", items=nothing))
    assert response.fallback_reason == "unknown_items"
    assert response.provenance.unknown_items == 1
    assert answered(Request("r1", like=["nothing"]))[0].fallback_reason == "unknown_items"
    assert answered(Request("r1", "nobody"))[0].fallback_reason == "unknown_user"
