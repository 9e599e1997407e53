"""Users with fresh events: which vector ranks, how long it is kept, and alike if compared."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from msgspec import structs

from ops.bench.rig.synthetic import watched_once
from registry.answers.recommendation import Recommendation
from registry.fold_in.loss_function import LossFunction
from registry.fold_in.row_solver import Entries, RowSolver
from registry.fresh.event_columns import EventBatch
from registry.fresh.event_log import EventLog
from registry.fresh.fresh_forgetting import FreshHistory
from registry.fresh.fresh_sight import FreshRange, FreshSight
from registry.new_items.overlay import Overlay, PlacedVector
from registry.versions.model import Model
from registry.wire.requests import Request, SessionItem
from registry.wire.training_records.event_weights import parse_event_weights
from streams.serving.fresh_answers import recommend_seeing
from tests.unit.registry.builders import a_manifest, a_request, some_arrays

NEW, KNOWN = 99, 1
ITEMS = tuple(f"film-{row}" for row in range(7))


def a_model(version: str = "v0.1", learned: bool = True) -> Model:
    arrays = some_arrays(popularity=np.arange(1.0, 8.0))
    if learned:
        arrays = dataclasses.replace(arrays, learned=watched_once(len(arrays.seen_items)))
    manifest = a_manifest(version)
    weights = parse_event_weights("watch=1,unwatch=undo:watch")
    parameters = structs.replace(manifest.parameters, event_weights=weights)
    return Model(structs.replace(manifest, parameters=parameters), arrays)


class Log:
    """What users did, and how a batch sees it."""

    def __init__(
        self,
        *models: Model,
        learned_up_to: dict[str, int] | None = None,
        most_bytes: int = 1 << 62,
    ) -> None:
        self._models = models
        self._ends = learned_up_to or {}
        self._log = EventLog(most_bytes)
        self._log.begin({0: 0})
        self._offset = 0

    def did(self, user: int, *items: str, event: str = "watch") -> None:
        for item in items:
            end = self._offset + 1
            batch = EventBatch([self._offset], [user], [item], [event], [1.0], [2e9 + end])
            self._log.take(0, batch, end)
            self._offset = end

    def sight(self, most: int = 200, overlays: dict[str, Overlay] | None = None) -> FreshSight:
        ranges = {
            model.version: FreshRange.of(
                {"0": (0, self._ends.get(model.version, 0))},
                model.manifest.parameters.weights,
                model.row_of,
            )
            for model in self._models
        }
        return FreshSight(self._log.frozen, ranges, {0: (0,)}, most=most, overlays=overlays)


def answer(model: Model, log: Log, user: int, *compared: str) -> Recommendation:
    requests = [a_request(user, k=7), a_request(2, k=7)]
    (found, other) = recommend_seeing(model, requests, log.sight(), compared=set(compared))
    assert other.source == "model"
    return found


def ids(found: Recommendation) -> list[object]:
    return [item.item_id for item in found.items]


def expected(model: Model, *items: str) -> dict[str, float]:
    """Return the scores of what he has not seen, by a vector of one watch of each item."""
    rows = np.array(sorted(ITEMS.index(item) for item in items), np.int32)
    entries = Entries(np.array([0, len(rows)]), rows, np.ones(len(rows), np.float32))
    vector = RowSolver(model.arrays.item_factors, LossFunction(1.0, 0.05)).solve(entries)[0]
    scores = model.arrays.item_factors @ vector
    return {item: float(scores[row]) for row, item in enumerate(ITEMS) if item not in items}


def test_a_new_user_gets_popular_items_until_he_has_had_to_do_with_three() -> None:
    model = a_model()
    log = Log(model)
    log.did(NEW, "film-6", "film-5", "unknown")

    few = answer(model, log, NEW)
    log.did(NEW, "film-4")
    enough = answer(model, log, NEW)

    assert (few.source, ids(few)) == ("popular", list(ITEMS[4::-1]))
    assert enough.source == "fold_in"
    scores = {item.item_id: item.score for item in enough.items}
    assert scores == pytest.approx(expected(model, "film-6", "film-5", "film-4"), rel=1e-5)


def test_a_known_users_vector_is_solved_anew_from_all_that_he_did() -> None:
    model = a_model()
    log = Log(model)
    seen = [ITEMS[row] for row in model.arrays.seen_items[:2]]
    fresh = next(item for item in ITEMS if item not in seen)
    assert answer(model, log, KNOWN).source == "model"

    log.did(KNOWN, fresh)

    found = answer(model, log, KNOWN)
    assert found.source == "recomputed"
    scores = {item.item_id: item.score for item in found.items}
    assert scores == pytest.approx(expected(model, *seen, fresh), rel=1e-5)


def test_what_a_user_takes_back_is_neither_learned_nor_seen_any_more() -> None:
    model = a_model()
    log = Log(model)
    seen = [ITEMS[row] for row in model.arrays.seen_items[:2]]

    log.did(KNOWN, seen[0], "unknown", event="unwatch")

    found = answer(model, log, KNOWN)
    scores = {item.item_id: item.score for item in found.items}
    assert found.source == "recomputed"
    assert scores == pytest.approx(expected(model, seen[1]), rel=1e-5)
    log.did(KNOWN, seen[1], event="unwatch")
    nothing = answer(model, log, KNOWN)
    assert (nothing.source, ids(nothing)) == ("popular", list(ITEMS[::-1]))
    log.did(KNOWN, *seen)
    again = {item.item_id for item in answer(model, log, KNOWN).items}
    assert again == set(ITEMS) - set(seen)


def test_what_is_taken_back_counts_beside_the_newest_that_do() -> None:
    model = a_model()
    log = Log(model)
    seen = [ITEMS[row] for row in model.arrays.seen_items[:2]]
    others = [item for item in ITEMS if item not in seen]
    log.did(KNOWN, seen[0], event="unwatch")
    log.did(KNOWN, *others[:3])

    (found,) = recommend_seeing(model, [a_request(KNOWN, k=7)], log.sight(most=2))

    by_newest = expected(model, seen[1], *others[1:3])
    scores = {item.item_id: item.score for item in found.items}
    assert scores == pytest.approx({item: by_newest[item] for item in (seen[0], *others[3:])})


def test_an_item_that_no_version_knows_is_not_seen_either_once_it_is_taken_back() -> None:
    model = a_model()
    log = Log(model)
    log.did(NEW, "new", "newer")
    log.did(NEW, "new", event="unwatch")
    window = log.sight().window(model.version)
    assert window is not None
    assert model.fresh_vectors is not None

    assert window.seen_unknown(NEW) == {"newer"}
    own = [event for event in window.history(NEW).events if event.item_id == "new"]
    history = FreshHistory(tuple(own))
    assert model.fresh_vectors.weights_of_item("new", [history]).tolist() == [0.0]


def test_a_new_user_who_takes_something_back_has_seen_it_no_more() -> None:
    model = a_model()
    log = Log(model)
    log.did(NEW, *ITEMS[:3])
    log.did(NEW, ITEMS[0], event="unwatch")

    found = answer(model, log, NEW)

    assert (found.source, set(ids(found))) == ("popular", set(ITEMS) - set(ITEMS[1:3]))


def test_a_version_that_cannot_merge_hides_what_it_learned_and_not_what_is_fresh_and_undone() -> (
    None
):
    model = a_model(learned=False)
    log = Log(model)
    seen = [ITEMS[row] for row in model.arrays.seen_items[:2]]
    fresh = next(item for item in ITEMS if item not in seen)
    log.did(KNOWN, fresh)
    log.did(KNOWN, seen[0], fresh, event="unwatch")

    assert set(ids(answer(model, log, KNOWN))) == set(ITEMS) - set(seen)


def test_a_session_may_take_back_what_was_learned() -> None:
    model = a_model()
    seen = [ITEMS[row] for row in model.arrays.seen_items[:2]]
    request = Request("r1", KNOWN, k=7, items=[SessionItem(seen[0], "unwatch")])

    for sight in (None, Log(model).sight()):
        (found,) = recommend_seeing(model, [request], sight)

        scores = {item.item_id: item.score for item in found.items}
        assert scores == pytest.approx(expected(model, seen[1]), rel=1e-5)


def test_all_that_a_user_did_is_hidden_though_only_the_newest_counts_for_his_vector() -> None:
    model = a_model()
    log = Log(model)
    log.did(NEW, *ITEMS[:5])

    (found,) = recommend_seeing(model, [a_request(NEW, k=7)], log.sight(most=3))

    assert found.source == "fold_in"
    scores = {item.item_id: item.score for item in found.items}
    by_newest = expected(model, *ITEMS[2:5])
    assert scores == pytest.approx({item: by_newest[item] for item in ITEMS[5:]}, rel=1e-5)


def test_of_whom_no_more_is_left_than_what_he_has_seen_no_vector_is_made() -> None:
    model = a_model()
    log = Log(model, most_bytes=12_000)
    log.did(NEW, *ITEMS[:4])
    for user in range(1_000, 1_060):
        log.did(user, *ITEMS[:2])
    window = log.sight().window(model.version)
    assert window is not None
    assert not window.is_whole(NEW)
    log.did(NEW, ITEMS[4])

    found = answer(model, log, NEW)

    assert (found.source, ids(found)) == ("popular", list(ITEMS[:4:-1]))


def test_a_vector_is_kept_until_its_users_next_event() -> None:
    model = a_model()
    log = Log(model)
    log.did(NEW, *ITEMS[:3])
    first = answer(model, log, NEW)
    kept = dict(model.vector_cache._kept)

    log.did(2, "unknown")
    assert answer(model, log, NEW) == first
    assert model.vector_cache._kept[NEW] is kept[NEW]
    log.did(NEW, ITEMS[3])

    assert answer(model, log, NEW) != first
    assert len(model.vector_cache) == 1


def test_a_forget_makes_him_nobody_and_three_later_items_somebody() -> None:
    model = a_model()
    log = Log(model)
    log.did(KNOWN, "film-0", event="forget")

    gone = answer(model, log, KNOWN)
    log.did(KNOWN, *ITEMS[:3])

    assert (gone.source, ids(gone)) == ("popular", list(ITEMS[::-1]))
    assert answer(model, log, KNOWN).source == "fold_in"


def test_a_version_that_keeps_too_little_hides_what_was_seen_and_no_more() -> None:
    model = a_model(learned=False)
    log = Log(model)
    before = ids(answer(model, log, KNOWN))
    log.did(KNOWN, str(before[0]))
    log.did(NEW, *ITEMS[:4])

    known, new = answer(model, log, KNOWN), answer(model, log, NEW)

    assert (known.source, ids(known)) == ("model", before[1:])
    assert (new.source, ids(new)) == ("popular", list(ITEMS[:3:-1]))


def test_what_is_fresh_for_one_of_two_compared_versions_is_recomputed_for_both() -> None:
    older, newer = a_model("v0.1"), a_model("v0.2")
    log = Log(older, newer, learned_up_to={"v0.2": 10})
    log.did(KNOWN, "film-0")

    alone, compared = answer(newer, log, KNOWN), answer(newer, log, KNOWN, "v0.1", "v0.2")

    assert answer(older, log, KNOWN, "v0.1", "v0.2").source == "recomputed"
    assert (alone.source, compared.source) == ("model", "recomputed")


def test_new_items_join_every_list_that_a_vector_ranks_but_that_of_who_has_seen_them() -> None:
    model = a_model()
    vector = np.array([99.0, 99, 99], np.float32)  # above all others for a vector of this model
    overlays = {"v0.1": Overlay({"new": PlacedVector(12, vector, 5)})}
    log = Log(model)
    log.did(NEW, *ITEMS[:3])
    log.did(2, "new")
    log.did(3, "new", event="click")  # of no kind that the version counts
    requests = [
        a_request(1, k=7), a_request(2, k=7), a_request(3, k=7), a_request(NEW, k=7),
        a_request(98, k=7), a_request(1, k=2, explain=True), a_request(1, k=7, like=[ITEMS[0]]),
    ]  # fmt: skip

    found = recommend_seeing(model, requests, log.sight(overlays=overlays))
    plain = recommend_seeing(model, requests, log.sight())

    joins = ["new" in ids(answer) for answer in found]
    by_vector = [answer.source in ("model", "recomputed", "fold_in") for answer in found]
    assert joins == [True, False, True, True, False, True, False]
    assert by_vector == [True, True, True, True, False, True, False]
    for answer, without in zip(found, plain, strict=True):
        known = [item for item in answer.items if item.item_id != "new"]
        assert known == without.items[: len(known)]
    assert (
        recommend_seeing(model, requests, log.sight(overlays={"v0.2": overlays["v0.1"]})) == plain
    )


def test_new_items_are_explained_as_known_ones_are() -> None:
    model, own = a_model(), ITEMS[:3]
    twin = model.arrays.item_factors[5]  # a new item like the sixth has the same explanation
    overlays = {"v0.1": Overlay({"new": PlacedVector(12, twin, 5)})}
    log = Log(model)
    log.did(NEW, *own)
    request = a_request(NEW, k=99, explain=True)

    (found,) = recommend_seeing(model, [request], log.sight(overlays=overlays))
    (plain,) = recommend_seeing(model, [request], log.sight())

    because = {item.item_id: item.because for item in found.items}
    assert because["new"]
    assert because.pop("new") == because[ITEMS[5]]
    assert because == {item.item_id: item.because for item in plain.items}
