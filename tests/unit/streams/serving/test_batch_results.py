"""What is counted of a batch: each answer once, in the arm that its user is in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from harness.builders import (
    NOW_MS,
    a_record,
    a_request_of,
    an_answering,
    some_rules,
    with_a_bug_for,
)

from registry.rollout.current_phase import is_compared
from registry.versions.model import Model
from streams.serving.answering import Answering, answer_batch
from streams.serving.batch_results import SAMPLES_AN_ARM
from tests.unit.registry.builders import (
    a_canary_state,
    a_ramp,
    a_ramping_state,
    a_soaking_state,
    a_state,
)

CANARY = a_canary_state()  # 10 % of v0.2 beside v0.1; users 1..5 are in it
KNOWN = 1
EVERY_ITEM = [f"film-{row}" for row in range(7)]


@pytest.fixture
def canary(models: Mapping[str, Model]) -> Answering:
    """Version v0.2 answers the users 1..5, v0.1 the others."""
    return an_answering(models, some_rules(CANARY, models))


def tallied(records: Sequence[Any], using: Answering) -> dict[str, tuple[int, int, int, int]]:
    """Return requests, errors, fallbacks and empty answers by arm."""
    arms = answer_batch(records, using).arms
    return {
        arm: (made.requests, made.errors, made.fallbacks, made.empty) for arm, made in arms.items()
    }


def test_requests_are_counted_in_the_arm_that_answers_them(canary: Answering) -> None:
    records = [a_request_of(user, f"r{user}") for user in (1, 2, 110)]
    assert tallied(records, canary) == {
        "canary": (2, 0, 0, 0),
        "primary": (1, 0, 1, 0),  # user 110 has no factors: popular items, a fallback
    }


def test_a_fallback_of_a_canary_user_is_counted_in_the_canarys_arm(models: Any) -> None:
    ready = {"v0.1": models["v0.1"]}
    using = an_answering(ready, some_rules(CANARY, ready))
    assert tallied([a_request_of(KNOWN)], using) == {"canary": (1, 0, 1, 0)}
    batch = answer_batch([a_request_of(KNOWN)], using)
    assert batch.counts == {("v0.1", "primary", "ok"): 1}
    assert [
        (requests_sent.version, requests_sent.arm, requests_sent.at_ms.size)
        for requests_sent in batch.sent
    ] == [("v0.1", "canary", 1)]


def test_an_unknown_user_is_a_fallback_of_the_own_arm(canary: Answering) -> None:
    assert tallied([a_request_of(109), a_request_of(110)], canary) == {
        "canary": (1, 0, 1, 0),
        "primary": (1, 0, 1, 0),
    }


def test_an_answer_without_an_item_is_counted_as_empty(canary: Answering) -> None:
    nothing_left = a_request_of(KNOWN, exclude_items=EVERY_ITEM)
    assert tallied([nothing_left], canary) == {"canary": (1, 0, 0, 1)}


def test_an_error_is_counted_in_the_arm_of_the_user_whoever_failed(models: Any) -> None:
    using = with_a_bug_for(1, models, some_rules(CANARY, models))
    records = [a_request_of(1, "r1"), a_request_of(2, "r2")]
    assert tallied(records, using) == {"canary": (2, 1, 0, 0)}
    stand_in = {"v0.1": models["v0.1"]}
    using = with_a_bug_for(1, stand_in, some_rules(CANARY, stand_in))
    assert tallied(records, using) == {"canary": (2, 1, 1, 0)}


def test_pinned_expired_and_unusable_requests_are_part_of_no_comparison(models: Any) -> None:
    using = an_answering(models, some_rules(CANARY, models))
    records = [
        a_request_of(1, model_version="v0.2"),
        a_request_of(1, model_version="v0.1"),
        a_request_of(1, model_version="v0.9"),
        a_request_of(1, deadline_ms=1, timestamp=NOW_MS - 2),
        a_record(b"{"),
    ]
    batch = answer_batch(records, using)
    assert (batch.arms, batch.samples) == ({}, {})
    assert {(requests_sent.arm, requests_sent.at_ms.size) for requests_sent in batch.sent} == {
        (None, 1)
    }  # the pinned ones
    assert answer_batch([a_request_of(1)], an_answering({}, None)).arms == {}
    failing = with_a_bug_for(1, models, some_rules(CANARY, models))
    assert tallied([a_request_of(1, model_version="v0.2")], failing) == {}


RAMPED = a_ramp(0)
COMPARED = [
    (a_state(), False),
    (CANARY, True),
    (a_canary_state(strategy="ab_test"), True),
    (a_canary_state(strategy="shadow"), False),
    (a_canary_state(strategy="shadow", ramp=RAMPED), True),
    (a_ramping_state(RAMPED, canary_percentage=0.0), True),
    (a_soaking_state(), True),
    (a_state(ramp=a_ramp(3, outcome="promoted")), False),
]


@pytest.mark.parametrize(("state", "compared"), COMPARED)
def test_users_and_samples_are_noted_only_while_versions_are_compared(
    state: Any, compared: bool, models: Any
) -> None:
    assert is_compared(state) is compared
    using = an_answering(models, some_rules(state, models))
    batch = answer_batch([a_request_of(user, f"r{user}") for user in (1, 2, 3, 1)], using)
    assert sum(arm.requests for arm in batch.arms.values()) == 4
    users = set().union(*batch.users.values())
    assert users == ({1, 2, 3} if compared else set())
    assert bool(batch.samples) is compared


def test_each_arm_has_samples_that_its_own_version_answered(canary: Answering) -> None:
    records = [a_request_of(user, f"r{user}") for user in (1, 2, 110, 111)]
    batch = answer_batch(records, canary)
    versions = {arm: batch.arms[arm].version for arm in batch.samples}
    assert versions == {"primary": "v0.1", "canary": "v0.2"}
    users = {arm: [sample.user_id for sample in samples] for arm, samples in batch.samples.items()}
    assert users == {"primary": [110, 111], "canary": [1, 2]}


def test_a_large_batch_has_no_more_samples_than_a_probe_needs(canary: Answering) -> None:
    users = range(400)  # 40 of them in the canary
    batch = answer_batch([a_request_of(user, f"r{user}") for user in users], canary)
    assert all(0 < len(sample) <= SAMPLES_AN_ARM for sample in batch.samples.values())
    assert batch.arms["canary"].requests == 40


def test_a_request_that_the_other_version_answered_or_that_failed_is_no_sample(
    models: Any,
) -> None:
    ready = {"v0.1": models["v0.1"]}
    fallen_back = an_answering(ready, some_rules(CANARY, ready))
    assert answer_batch([a_request_of(KNOWN)], fallen_back).samples == {}
    failing = with_a_bug_for(KNOWN, models, some_rules(CANARY, models))
    assert answer_batch([a_request_of(KNOWN)], failing).samples == {}


def test_the_arms_belong_to_the_epoch_that_is_acted_on(models: Any) -> None:
    wanted = a_state(epoch=8, primary_version="v0.3")
    batch = answer_batch(
        [a_request_of(KNOWN)], an_answering(models, some_rules(CANARY, models, wanted=wanted))
    )
    assert (batch.epoch, set(batch.arms)) == (7, {"canary"})
