"""Routing: who answers when everything is ready, and who when something is not."""

from __future__ import annotations

from itertools import product

from harness.builders import some_rules

from registry.error_codes import FallbackCode
from streams.serving.routing import (
    Route,
    Routes,
    pinned_route,
    route,
)
from tests.unit.registry.builders import a_canary_state, a_request, a_state

CANARY = a_canary_state()  # 10 % of v0.2 beside v0.1
IN_CANARY, IN_PRIMARY = 109, 110
NEXT = a_state(epoch=8, primary_version="v0.3", previous_versions=("v0.1",))


def test_a_user_outside_of_the_canary_is_answered_by_the_primary() -> None:
    rules = some_rules(CANARY, ["v0.1", "v0.2"])
    assert route(IN_PRIMARY, rules) == Route("v0.1", "primary", 10, arm="primary")


def test_a_user_in_the_canary_is_answered_by_the_canary_version() -> None:
    rules = some_rules(CANARY, ["v0.1", "v0.2"])
    assert route(IN_CANARY, rules) == Route("v0.2", "canary", 9, arm="canary")


def test_a_fixed_strategy_looks_at_no_bucket() -> None:
    assert route(IN_CANARY, some_rules(a_state(), ["v0.1"])) == Route(
        "v0.1", "primary", None, arm="primary"
    )


def test_a_canary_version_that_is_not_ready_is_answered_by_the_primary_which_says_so() -> None:
    rules = some_rules(CANARY, ["v0.1"])
    assert route(IN_CANARY, rules) == Route(
        "v0.1", "primary", 9, "v0.2", FallbackCode.VERSION_NOT_READY, arm="canary"
    )


def test_a_canary_version_that_is_not_ready_changes_nothing_for_the_others() -> None:
    assert route(IN_PRIMARY, some_rules(CANARY, ["v0.1"])) == Route(
        "v0.1", "primary", 10, arm="primary"
    )


def test_the_last_state_answers_while_the_new_primary_is_not_ready_and_says_so() -> None:
    rules = some_rules(a_state(), ["v0.1"], wanted=NEXT)
    assert route(IN_PRIMARY, rules) == Route(
        "v0.1", "primary", None, "v0.3", FallbackCode.VERSION_NOT_READY, arm="primary"
    )


def test_the_last_states_canary_goes_on_while_the_new_primary_is_not_ready() -> None:
    rules = some_rules(CANARY, ["v0.1", "v0.2"], wanted=NEXT)
    assert route(IN_CANARY, rules) == Route(
        "v0.2", "canary", 9, "v0.3", FallbackCode.VERSION_NOT_READY, arm="canary"
    )


def test_the_last_states_primary_stands_in_where_its_canary_is_not_ready_either() -> None:
    rules = some_rules(CANARY, ["v0.1"], wanted=NEXT)
    assert route(IN_CANARY, rules) == Route(
        "v0.1", "primary", 9, "v0.3", FallbackCode.VERSION_NOT_READY, arm="canary"
    )


def test_an_older_state_that_gives_the_user_the_same_version_needs_no_excuse() -> None:
    promoted = a_state(epoch=8, primary_version="v0.2")
    rules = some_rules(CANARY, ["v0.1", "v0.2"], wanted=promoted)
    assert route(IN_CANARY, rules) == Route("v0.2", "canary", 9, arm="canary")


def test_users_of_an_ab_test_are_in_its_arms_also_where_b_is_not_ready() -> None:
    state = a_canary_state(strategy="ab_test")
    both = some_rules(state, ["v0.1", "v0.2"])
    assert route(2, both) == Route("v0.1", "A", 2, arm="A")
    assert route(1, both) == Route("v0.2", "B", 1, arm="B")
    assert route(1, some_rules(state, ["v0.1"])) == Route(
        "v0.1", "A", 1, "v0.2", FallbackCode.VERSION_NOT_READY, "B"
    )


def test_a_shadow_is_answered_by_the_primary_and_needs_no_excuse() -> None:
    state = a_canary_state(strategy="shadow")
    assert route(1, some_rules(state, ["v0.1"])) == Route("v0.1", "primary", None, arm="primary")


def test_an_answer_without_the_lease_says_so() -> None:
    rules = some_rules(CANARY, ["v0.1", "v0.2"], lease_holds=False)
    assert route(IN_CANARY, rules) == Route(
        "v0.2", "canary", 9, None, FallbackCode.ROLLOUT_LEASE_EXPIRED, arm="canary"
    )


def test_a_lapsed_lease_is_the_reason_that_is_told_if_there_are_two() -> None:
    waiting = some_rules(CANARY, ["v0.1"], lease_holds=False)
    older = some_rules(a_state(), ["v0.1"], wanted=NEXT, lease_holds=False)
    assert route(IN_CANARY, waiting) == Route(
        "v0.1", "primary", 9, "v0.2", FallbackCode.ROLLOUT_LEASE_EXPIRED, arm="canary"
    )
    assert route(IN_CANARY, older) == Route(
        "v0.1", "primary", None, "v0.3", FallbackCode.ROLLOUT_LEASE_EXPIRED, arm="primary"
    )


def test_a_pinned_version_in_memory_answers_whatever_the_rules_say() -> None:
    rules = some_rules(a_state(), ["v0.1", "v0.9"])
    pinned = a_request(IN_PRIMARY, model_version="v0.9")
    assert pinned_route(pinned, rules) == Route("v0.9", None, None)


def test_a_pinned_canary_version_answers_as_the_canary_and_is_in_no_arm() -> None:
    rules = some_rules(CANARY, ["v0.1", "v0.2"])
    pinned = a_request(IN_PRIMARY, model_version="v0.2")
    assert pinned_route(pinned, rules) == Route("v0.2", "canary", None, arm=None)


def test_a_pinned_version_that_is_not_in_memory_has_no_route() -> None:
    rules = some_rules(CANARY, ["v0.1"])
    assert pinned_route(a_request(model_version="v0.2"), rules) is None


def test_a_request_that_pins_nothing_has_no_pinned_route() -> None:
    assert pinned_route(a_request(), some_rules(CANARY, ["v0.1"])) is None


def test_the_routes_of_a_batch_are_those_of_its_users_one_by_one() -> None:
    states = [
        a_state(),
        CANARY,
        a_state(strategy="shadow", canary_version="v0.2"),
        *(
            a_state(
                strategy=strategy,
                canary_version="v0.2",
                canary_percentage=30.0,
                bucketing=bucketing,
                salt="s",
            )
            for strategy in ("canary", "ab_test")
            for bucketing in ("modulo", "hash")
        ),
    ]
    users = [*range(-150, 150), *map(str, range(50)), "", "é", 2**70]
    for state, wanted, ready in product(states, (None, NEXT), (["v0.1"], ["v0.1", "v0.2"])):
        rules = some_rules(state, ready, wanted=wanted)
        routes = Routes(rules)
        assert [routes.of(user) for user in users] == [route(user, rules) for user in users], rules
