"""Answering: each record gets one answer or becomes one dead letter, and harms no other."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from harness.builders import (
    NOW_MS,
    Watched,
    a_record,
    a_request_of,
    an_answering,
    some_rules,
    with_a_bug_for,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.fresh.event_columns import EventBatch
from registry.fresh.event_log import EventLog
from registry.fresh.fresh_sight import FreshRange, FreshSight
from registry.rollout.assignment import is_shadowed
from registry.versions.model import Model
from registry.wire.codec import decode
from registry.wire.requests import Request
from registry.wire.responses import Provenance, Response
from registry.wire.training_records.event_weights import EventWeight
from streams.comparing.shadow_scoring import score_chunk
from streams.serving.answering import Answering, answer_batch
from streams.serving.batch_results import Batch
from tests.unit.registry.builders import (
    a_canary_state,
    a_request,
    a_state,
)

CANARY = a_canary_state()  # 10 % of v0.2 beside v0.1; users 1..5 are in it
KNOWN, UNKNOWN = 1, 999


def read(batch: Batch) -> list[Response]:
    return [decode(Response, answer.payload) for answer in batch.answers]


def answered(record: Any, using: Answering) -> Response:
    batch = answer_batch([record], using)
    assert batch.dead_letters == []
    (response,) = read(batch)
    return response


@pytest.fixture
def fixed(models: Mapping[str, Model]) -> Answering:
    """Version v0.1 answers everyone."""
    return an_answering(models, some_rules(a_state(), models))


@pytest.fixture
def canary(models: Mapping[str, Model]) -> Answering:
    """Version v0.2 answers the users 1..5, v0.1 the others."""
    return an_answering(models, some_rules(CANARY, models))


def test_a_known_user_gets_the_models_items(fixed: Answering) -> None:
    response = answered(a_request_of(KNOWN, k=3), fixed)
    (expected,) = fixed.models["v0.1"].recommend([a_request(KNOWN, k=3)])
    assert (response.request_id, response.user_id, response.status) == ("r1", KNOWN, "ok")
    assert (response.items, response.source) == (expected.items, "model")
    assert (response.model_version, response.variant) == ("v0.1", "primary")
    assert (response.assigned_version, response.fallback_reason, response.error) == (None,) * 3


def test_an_unknown_user_gets_popular_items_and_the_reason(fixed: Answering) -> None:
    batch = answer_batch([a_request_of(UNKNOWN)], fixed)
    (response,) = read(batch)
    assert (response.status, response.source) == ("ok", "popular")
    assert response.fallback_reason == "unknown_user"
    assert response.items
    assert batch.fallbacks == {"unknown_user": 1}


def test_an_id_that_the_version_knows_with_the_other_type_is_named_as_such(
    fixed: Answering,
) -> None:
    batch = answer_batch([a_request_of(str(KNOWN))], fixed)
    (response,) = read(batch)
    assert (response.source, response.fallback_reason) == ("popular", "user_id_of_other_type")
    assert batch.fallbacks == {"user_id_of_other_type": 1}


def test_an_answer_tells_the_rule_and_the_bytes_that_produced_it(canary: Answering) -> None:
    response = answered(a_request_of(KNOWN, timestamp=NOW_MS - 40), canary)
    assert response.provenance == Provenance(
        environment="production",
        worker="w1",
        latency_ms=40.0,
        strategy="canary",
        rollout_epoch=7,
        bucket=1,
        git_sha="sha-2",
        data_snapshot="s1",
        image_digest="",
    )


def test_an_answer_has_its_requests_key_and_what_is_counted_of_it(canary: Answering) -> None:
    batch = answer_batch([a_request_of(KNOWN, timestamp=NOW_MS - 40)], canary)
    (answer,) = batch.answers
    assert (answer.key, answer.request_id) == (b"1", "r1")
    assert (answer.version, answer.timestamp_ms) == ("v0.2", NOW_MS - 40)
    assert batch.counts == {("v0.2", "canary", "ok"): 1}


def test_a_request_after_its_deadline_is_expired_and_not_scored(models: Any) -> None:
    watched = {"v0.1": Watched(models["v0.1"])}
    using = an_answering(watched, some_rules(a_state(), watched))
    batch = answer_batch([a_request_of(1, deadline_ms=10, timestamp=NOW_MS - 11)], using)
    (response,) = read(batch)
    assert (response.status, response.items, response.error) == ("expired", [], None)
    assert (response.provenance.latency_ms, response.provenance.rollout_epoch) == (11.0, 7)
    assert watched["v0.1"].calls == []
    assert batch.counts == {("", "", "expired"): 1}


def test_a_request_at_its_deadline_is_answered(fixed: Answering) -> None:
    at_once = a_request_of(KNOWN, deadline_ms=10, timestamp=NOW_MS - 10)
    assert answered(at_once, fixed).status == "ok"


def test_without_any_version_the_answer_is_an_error_that_says_so(models: Any) -> None:
    batch = answer_batch([a_request_of(KNOWN)], an_answering({}, None))
    (response,) = read(batch)
    assert (response.status, response.items, response.model_version) == ("error", [], None)
    assert response.error is not None
    assert response.error.code == "no_version"
    assert response.provenance == Provenance("production", "w1", 0.0)
    assert batch.counts == {("", "", "error"): 1}


def test_a_pinned_version_answers_users_of_any_bucket(fixed: Answering) -> None:
    response = answered(a_request_of(KNOWN, model_version="v0.2"), fixed)
    assert (response.model_version, response.provenance.git_sha) == ("v0.2", "sha-2")
    assert response.provenance.bucket is None


def test_a_pinned_version_that_is_not_in_memory_is_an_error_that_names_those(
    fixed: Answering,
) -> None:
    response = answered(a_request_of(KNOWN, model_version="v0.9"), fixed)
    assert (response.status, response.items) == ("error", [])
    assert response.error is not None
    assert response.error.code == "unknown_version"
    assert response.error.message == (
        "model_version 'v0.9' is not in memory on this worker; available: v0.1, v0.2"
    )


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"\xff\xfe", "malformed"),
        (b'{"request_id": "r1", ', "malformed"),
        (b'{"x": ' + b"[" * 5_000, "malformed"),
        (b'"text"', "invalid"),
        (b'{"request_id": "r1"}', "invalid"),
        (b'{"request_id": "r1", "user_id": 1.5}', "invalid"),
        (b'{"request_id": "r1", "user_id": true}', "invalid"),
        (b'{"request_id": "r1", "user_id": 1, "k": 0}', "invalid"),
        (b'{"request_id": "", "user_id": 1}', "invalid"),
        (b'{"request_id": "r1", "user_id": ' + b"9" * 5_000 + b"}", "invalid"),
        (b'{"request_id": "r1", "user_id": 1, "x": "' + b"x" * 20_000 + b'"}', "too_large"),
    ],
)
def test_a_record_that_is_no_request_becomes_a_dead_letter_while_its_neighbours_are_answered(
    value: bytes | None, code: str, fixed: Answering
) -> None:
    wrong = a_record(value)
    batch = answer_batch([a_request_of(1, "left"), wrong, a_request_of(2, "right")], fixed)
    assert [(dead.record, dead.error.code) for dead in batch.dead_letters] == [(wrong, code)]
    assert [(answer.request_id, answer.status) for answer in read(batch)] == [
        ("left", "ok"),
        ("right", "ok"),
    ]
    assert batch.counts == {("v0.1", "primary", "ok"): 2}


def test_each_version_scores_all_its_users_in_one_call(models: Any) -> None:
    watched = {version: Watched(model) for version, model in models.items()}
    users = [1, 110, 2, 111, 3]
    records = [a_request_of(user, f"r{user}") for user in users]
    batch = answer_batch(records, an_answering(watched, some_rules(CANARY, watched)))
    assert (watched["v0.2"].calls, watched["v0.1"].calls) == ([[1, 2, 3]], [[110, 111]])
    versions = {answer.user_id: (answer.model_version, answer.variant) for answer in read(batch)}
    assert versions == {user: ("v0.2", "canary") for user in (1, 2, 3)} | {
        user: ("v0.1", "primary") for user in (110, 111)
    }
    assert batch.counts == {("v0.2", "canary", "ok"): 3, ("v0.1", "primary", "ok"): 2}


def test_the_seconds_of_scoring_are_known_by_version(models: Any) -> None:
    ticks = itertools.count(0.0, 0.5)
    using = an_answering(models, some_rules(CANARY, models), timer=lambda: next(ticks))
    batch = answer_batch([a_request_of(1), a_request_of(110)], using)
    assert batch.scoring_seconds == {"v0.1": 0.5, "v0.2": 0.5}


def test_a_clock_that_is_set_back_makes_no_duration_negative(models: Any) -> None:
    ticks = itertools.count(NOW_MS, -60_000.0)
    shadow = a_canary_state(strategy="shadow", shadow_sample_percentage=100.0)
    using = an_answering(models, some_rules(shadow, models), lambda: next(ticks))
    batch = answer_batch([a_request_of(KNOWN)], using)
    assert batch.scoring_seconds["v0.1"] == 0
    assert [sample.primary_seconds for sample in batch.shadowed] == [0]


def test_a_canary_that_is_not_ready_is_told_in_the_answer(models: Any) -> None:
    ready = {"v0.1": models["v0.1"]}
    batch = answer_batch([a_request_of(KNOWN)], an_answering(ready, some_rules(CANARY, ready)))
    (response,) = read(batch)
    assert (response.model_version, response.variant) == ("v0.1", "primary")
    assert response.assigned_version == "v0.2"
    assert response.fallback_reason == "version_not_ready"
    assert batch.fallbacks == {"version_not_ready": 1}


def test_an_answer_by_the_last_state_carries_that_states_epoch(models: Any) -> None:
    wanted = a_state(epoch=8, primary_version="v0.3")
    using = an_answering(models, some_rules(a_state(), models, wanted=wanted))
    response = answered(a_request_of(KNOWN), using)
    assert (response.model_version, response.assigned_version) == ("v0.1", "v0.3")
    assert response.provenance.rollout_epoch == 7


def test_an_answer_without_the_lease_says_so_also_to_an_unknown_user(models: Any) -> None:
    using = an_answering(models, some_rules(a_state(), models, lease_holds=False))
    for user in (KNOWN, UNKNOWN):
        response = answered(a_request_of(user), using)
        assert response.fallback_reason == "rollout_lease_expired"
        assert (response.status, response.assigned_version) == ("ok", None)


def test_a_bug_in_scoring_harms_the_one_request_that_meets_it(models: Any) -> None:
    using = with_a_bug_for(2, models, some_rules(a_state(), models))
    batch = answer_batch([a_request_of(user, f"r{user}") for user in (1, 2, 3)], using)
    responses = {answer.user_id: answer for answer in read(batch)}
    assert [responses[user].status for user in (1, 2, 3)] == ["ok", "error", "ok"]
    error = responses[2].error
    assert error is not None
    assert (error.code, error.message) == (
        "internal",
        "v0.1 could not score this request: ZeroDivisionError('a bug')",
    )
    assert batch.dead_letters == []


def test_a_bug_in_scoring_is_counted_for_the_version_that_has_it(models: Any) -> None:
    using = with_a_bug_for(2, models, some_rules(CANARY, models))
    batch = answer_batch([a_request_of(2)], using)
    assert batch.counts == {("v0.2", "canary", "error"): 1}


def test_the_seconds_of_scoring_one_by_one_add_up(models: Any) -> None:
    ticks = itertools.count(0.0, 0.5)
    watched = {"v0.1": Watched(models["v0.1"], poison=2)}
    using = an_answering(watched, some_rules(a_state(), watched), timer=lambda: next(ticks))
    batch = answer_batch([a_request_of(user) for user in (1, 2, 3)], using)
    assert batch.scoring_seconds["v0.1"] >= 1.0


def test_no_record_has_no_answer(fixed: Answering) -> None:
    assert answer_batch([], fixed) == Batch(7, version_by_arm={"primary": "v0.1"})


def test_a_shadowed_answer_is_handed_over_with_what_the_comparison_needs(models: Any) -> None:
    ticks = itertools.count(0.0, 0.5)
    state = a_canary_state(strategy="shadow", shadow_sample_percentage=100.0)
    using = an_answering(models, some_rules(state, models), timer=lambda: next(ticks))
    records = [
        a_request_of(1, "r1"),
        a_request_of(2, "r2"),
        a_request_of(3, "r3", model_version="v0.1"),
    ]
    batch = answer_batch(records, using)
    answers = {answer.request_id: answer.items for answer in read(batch)}
    assert {(sample.request.request_id, sample.primary_version, sample.canary_version, sample.epoch)
            for sample in batch.shadowed} == {
        ("r1", "v0.1", "v0.2", 7), ("r2", "v0.1", "v0.2", 7)
    }  # fmt: skip
    assert all(sample.items == answers[sample.request.request_id] for sample in batch.shadowed)
    assert {sample.key for sample in batch.shadowed} == {b"1", b"2"}
    assert batch.shadowed[0].primary_seconds == pytest.approx(0.5 / 3)
    assert {answer.variant for answer in read(batch)} == {"primary"}


def test_users_outside_of_the_sample_are_not_shadowed(models: Any) -> None:
    state = a_canary_state(strategy="shadow", shadow_sample_percentage=30.0)
    using = an_answering(models, some_rules(state, models))
    users = range(200)
    batch = answer_batch([a_request_of(user, f"r{user}") for user in users], using)
    shadowed = {sample.request.user_id for sample in batch.shadowed}
    assert shadowed == {user for user in users if is_shadowed(user, state)}
    assert 0 < len(shadowed) < len(users)


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(10**18, 10**40), st.text(max_size=5),
    st.floats(), st.lists(st.integers(), max_size=2), st.just("\ud800"), st.just("v0.2"),
)  # fmt: skip
FIELDS = list(Request.__struct_fields__)
ALMOST_REQUESTS = st.dictionaries(st.sampled_from(FIELDS), ANYTHING).map(
    lambda fields: json.dumps({"request_id": "r", "user_id": 1} | fields).encode()
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.none(), st.binary(max_size=20), ALMOST_REQUESTS), max_size=8))
def test_whatever_bytes_arrive_each_record_has_exactly_one_outcome(
    canary: Answering, values: list[bytes | None]
) -> None:
    records = [a_record(value, key=str(n).encode()) for n, value in enumerate(values)]
    batch = answer_batch(records, canary)
    keys = [answer.key for answer in batch.answers]
    keys += [dead.record.key for dead in batch.dead_letters]
    assert sorted(keys) == sorted(record.key for record in records)
    assert sum(batch.counts.values()) == len(batch.answers) == len(read(batch))


@pytest.mark.parametrize(
    ("stamped", "received", "expired"),
    [
        (NOW_MS - 11, NOW_MS - 1, True),
        (NOW_MS - 9, NOW_MS - 1, False),
        (NOW_MS + 3_600_000, NOW_MS - 11, True),
        (NOW_MS + 3_600_000, NOW_MS - 9, False),
        (-1, NOW_MS - 11, True),
        (-1, NOW_MS - 9, False),
        (NOW_MS + 3_600_000, float("inf"), False),
    ],
)
def test_a_deadline_counts_from_the_timestamp_or_from_the_reading_where_that_cannot_be_true(
    fixed: Answering, stamped: int, received: float, expired: bool
) -> None:
    using = replace(fixed, received_ms=received)
    batch = answer_batch([a_request_of(1, deadline_ms=10, timestamp=stamped)], using)
    assert decode(Response, batch.answers[0].payload).status == ("expired" if expired else "ok")


@pytest.mark.parametrize("stamped", [NOW_MS + 3_600_000, NOW_MS + 1, -1])
def test_a_latency_that_cannot_be_known_is_absent(fixed: Answering, stamped: int) -> None:
    (answer,) = answer_batch([a_request_of(1, timestamp=stamped)], fixed).answers
    assert b"latency_ms" not in answer.payload


# --- what is fresh ----------------------------------------------------------------------------


def a_sight(models: Mapping[str, Model], *kinds_and_items: tuple[str, Any]) -> FreshSight:
    """Return what is seen after user 1 has done these things, in partition 3, from offset 7 on."""
    log, count = EventLog(), len(kinds_and_items)
    log.begin({3: 7})
    kinds, items = [kind for kind, _ in kinds_and_items], [item for _, item in kinds_and_items]
    batch = EventBatch(
        range(7, 7 + count), [KNOWN] * count, items, kinds, [1.0] * count, [9.0] * count
    )
    log.take(3, batch, 7 + count)
    ranges = {
        version: FreshRange.of({"3": (0, 7)}, {"watch": EventWeight(1.0)}, model.row_of)
        for version, model in models.items()
    }
    return FreshSight(log.frozen, ranges, {3: (3,)})


def test_what_was_just_watched_is_gone_from_the_next_answer_of_each_arm(
    canary: Answering, models: Mapping[str, Model]
) -> None:
    asked = [a_request_of(KNOWN, k=3), a_request_of(KNOWN, k=3, model_version="v0.1")]
    before = read(answer_batch(asked, canary))
    shown = [response.items[0].item_id for response in before]
    sight = a_sight(models, *(("watch", item) for item in shown))

    after = read(answer_batch(asked, replace(canary, sight=sight)))

    assert {response.model_version for response in after} == {"v0.1", "v0.2"}
    for response in after:
        assert not {item.item_id for item in response.items} & set(shown)


def test_a_forgotten_user_gets_what_an_unknown_user_gets(
    fixed: Answering, models: Mapping[str, Model]
) -> None:
    sight = a_sight(models, ("forget", None))

    response = answered(a_request_of(KNOWN), replace(fixed, sight=sight))

    assert (response.source, response.fallback_reason) == ("popular", "unknown_user")
    assert response.items == answered(a_request_of(UNKNOWN), fixed).items


def test_an_answer_names_the_interactions_that_it_saw(
    fixed: Answering, models: Mapping[str, Model]
) -> None:
    found = answered(a_request_of(KNOWN), replace(fixed, sight=a_sight(models))).provenance
    assert (found.fresh, found.fresh_offsets) == ("followed", {"3": 7})

    found = answered(a_request_of(KNOWN), fixed).provenance
    assert (found.fresh, found.fresh_offsets) == (None, {})


def test_a_shadow_looks_through_the_sight_of_the_answer_that_it_is_compared_with(
    models: Mapping[str, Model],
) -> None:
    state = a_state(strategy="shadow", canary_version="v0.2", shadow_sample_percentage=100.0)
    using = an_answering(models, some_rules(state, models))
    sight = a_sight(models, *(("watch", f"film-{number}") for number in range(6)))

    batch = answer_batch([a_request_of(KNOWN, k=7)], replace(using, sight=sight))
    done = score_chunk(models["v0.2"], batch.shadowed, using.origin)

    ((_, comparison),) = done.comparisons
    assert [item.item_id for item in batch.shadowed[0].items] == ["film-6"]
    assert comparison.overlap == 1.0
