"""Assignment: the same on every worker, and of the properties that a comparison rests on."""

from __future__ import annotations

import itertools
import math
from typing import Any

from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.rollout.assignment import arms_of, assign, bucket_of, canary_share, is_shadowed
from registry.wire.rollout_state import RolloutState
from tests.unit.registry.builders import a_canary_state, a_state

user_ids = st.one_of(st.integers(), st.text(max_size=40))
bucketings = st.sampled_from(["modulo", "hash"])
salts = st.text(max_size=10)


def test_fixed_looks_at_no_bucket() -> None:
    assert assign(5, a_state()) == ("primary", "v0.1", None)
    assert assign(5, a_canary_state(strategy="fixed", canary_percentage=100.0)).bucket is None


def test_modulo_is_the_id_modulo_100_also_for_negative_ids() -> None:
    assert [bucket_of(user, "modulo", "s") for user in (0, 99, 100, 1234, -1)] == [
        (0, 100),
        (99, 100),
        (0, 100),
        (34, 100),
        (99, 100),
    ]


def test_hash_buckets_are_pinned_for_ever() -> None:
    # MurmurHash3 x86 32 of "s:1", "s:2", "s:anna", ":1": a change would move every user
    buckets = [bucket_of(user, "hash", "s")[0] for user in (1, 2, "anna")]
    assert buckets == [1521089622 % 10_000, 6502, 7226]
    assert bucket_of(1, "hash", "") == (559, 10_000)


@given(user_ids, bucketings, salts)
def test_a_bucket_is_stable_and_in_range(user: int | str, bucketing: Any, salt: str) -> None:
    bucket, buckets = bucket_of(user, bucketing, salt)
    assert 0 <= bucket < buckets
    assert (bucket, buckets) == bucket_of(user, bucketing, salt)


@given(st.text(max_size=40), salts)
def test_a_text_id_is_bucketed_by_hash_under_modulo_too(user: str, salt: str) -> None:
    assert bucket_of(user, "modulo", salt) == bucket_of(user, "hash", salt)


@given(user_ids, bucketings, salts, st.tuples(st.integers(0, 100), st.integers(0, 100)))
def test_a_raised_percentage_only_moves_users_into_the_canary(
    user: int | str, bucketing: Any, salt: str, percentages: tuple[int, int]
) -> None:
    low, high = sorted(percentages)
    arms = [
        assign(
            user,
            a_canary_state(canary_percentage=float(share), bucketing=bucketing, salt=salt),
        ).variant
        for share in (0, low, high, 100)
    ]
    assert arms[0] == "primary"
    assert arms[3] == "canary"
    assert arms == sorted(arms, reverse=True)  # "primary" … "canary"


@each_cell("percentage", [0.01, 0.5, 1, 10, 50, 99.99])
@each_cell("salt", ["", "spring"])
def test_hash_gives_the_canary_its_share_within_3_sigma(percentage: float, salt: str) -> None:
    users, share = 5_000, percentage / 100
    state = a_canary_state(canary_percentage=percentage, bucketing="hash", salt=salt)
    canary = sum(assign(user, state).variant == "canary" for user in range(users))
    assert abs(canary - users * share) <= 3 * math.sqrt(users * share * (1 - share)) + 1


def test_rollouts_of_different_salts_hit_different_users() -> None:
    users, share = 10_000, 0.1
    chosen = [
        {
            user
            for user in range(users)
            if assign(user, a_canary_state(bucketing="hash", salt=salt)).variant == "canary"
        }
        for salt in ("one", "two")
    ]
    both, expected = len(chosen[0] & chosen[1]), users * share * share
    assert abs(both - expected) <= 3 * math.sqrt(expected)


@each_cell("hundredths", [1, 29, 57, 58, 1_003, 9_999])
def test_each_hundredth_of_a_percent_is_exactly_one_bucket(hundredths: int) -> None:
    # 0.29 * 10_000 / 100 is 28.999… in binary
    state = a_canary_state(bucketing="hash", canary_percentage=hundredths / 100)
    users = (f"user {number}" for number in itertools.count())
    last_in, first_out = (
        next(user for user in users if bucket_of(user, "hash", "")[0] == bucket)
        for bucket in (hundredths - 1, hundredths)
    )
    assert assign(last_in, state) == ("canary", "v0.2", hundredths - 1)
    assert assign(first_out, state) == ("primary", "v0.1", hundredths)


# --- A/B tests and shadows ------------------------------------------------------------------


def an_ab_test(**given: Any) -> RolloutState:
    return a_canary_state(strategy="ab_test", **given)


def a_shadow(percentage: float, **given: Any) -> RolloutState:
    return a_canary_state(strategy="shadow", shadow_sample_percentage=percentage, **given)


def test_an_ab_test_by_modulo_gives_odd_ids_to_b_whatever_the_percentage() -> None:
    for percentage in (0.0, 10.0, 100.0):
        state = an_ab_test(canary_percentage=percentage)
        assert [assign(user, state).variant for user in (0, 1, 2, 99, 101, -1, -2)] == [
            "A", "B", "A", "B", "B", "B", "A",
        ]  # fmt: skip


def test_the_arms_of_an_ab_test_are_a_primary_and_b_canary() -> None:
    assert assign(2, an_ab_test()) == ("A", "v0.1", 2)
    assert assign(1, an_ab_test()) == ("B", "v0.2", 1)


@each_cell("ids", ["integers under hash", "text under modulo"])
@each_cell("salt", ["", "spring"])
def test_an_ab_test_by_hash_is_half_each_within_3_sigma(ids: str, salt: str) -> None:
    users: list[int | str] = list(range(5_000))
    state = an_ab_test(bucketing="hash", salt=salt)
    if ids == "text under modulo":
        users, state = [f"user {number}" for number in users], an_ab_test(salt=salt)
    in_b = sum(assign(user, state).variant == "B" for user in users)
    assert abs(in_b - 2_500) <= 3 * math.sqrt(5_000 / 4)


@given(user_ids, bucketings, salts)
def test_without_a_canary_version_everybody_is_in_the_primary(
    user: int | str, bucketing: Any, salt: str
) -> None:
    for strategy in ("canary", "ab_test", "shadow"):
        state = a_state(strategy=strategy, bucketing=bucketing, salt=salt, canary_percentage=100.0)
        assert assign(user, state) == ("primary", "v0.1", None)
        assert not is_shadowed(user, state)


@given(user_ids, bucketings, salts)
def test_a_shadow_answers_nobody(user: int | str, bucketing: Any, salt: str) -> None:
    state = a_shadow(100.0, canary_percentage=100.0, bucketing=bucketing, salt=salt)
    assert assign(user, state) == ("primary", "v0.1", None)


@given(user_ids, salts, st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)))
def test_a_larger_shadow_sample_keeps_who_was_in_the_smaller_one(
    user: int | str, salt: str, hundredths: tuple[int, int]
) -> None:
    low, high = sorted(hundredths)
    drawn = [is_shadowed(user, a_shadow(n / 100, salt=salt)) for n in (0, low, high, 10_000)]
    assert drawn == sorted(drawn)
    assert (drawn[0], drawn[3]) == (False, True)


@each_cell("percentage", [0.5, 20, 75])
def test_a_shadow_sample_has_its_share_within_3_sigma_whatever_the_bucketing(
    percentage: float,
) -> None:
    users, share = 5_000, percentage / 100
    for bucketing in ("modulo", "hash"):
        state = a_shadow(percentage, bucketing=bucketing, salt="spring")
        drawn = sum(is_shadowed(user, state) for user in range(users))
        assert abs(drawn - users * share) <= 3 * math.sqrt(users * share * (1 - share)) + 1


@each_cell("bucketing", ["modulo", "hash"])
def test_who_is_shadowed_says_nothing_of_who_gets_the_canary_under_the_same_salt(
    bucketing: Any,
) -> None:
    canary = a_canary_state(bucketing=bucketing, salt="spring", canary_percentage=10.0)
    shadow = a_shadow(10.0, bucketing=bucketing, salt="spring")
    users = 10_000
    both = sum(
        assign(user, canary).variant == "canary" and is_shadowed(user, shadow)
        for user in range(users)
    )
    assert abs(both - users * 0.01) <= 3 * math.sqrt(users * 0.01)


def test_only_a_shadow_strategy_shadows_anybody() -> None:
    for strategy in ("fixed", "canary", "ab_test"):
        assert not is_shadowed(1, a_canary_state(strategy=strategy))


@each_cell(
    ("strategy", "share", "arms"),
    [
        ("fixed", 0.0, {"v0.1": "primary"}),
        ("canary", 10.0, {"v0.1": "primary", "v0.2": "canary"}),
        ("ab_test", 50.0, {"v0.1": "A", "v0.2": "B"}),
        ("shadow", 0.0, {"v0.1": "primary"}),
    ],
)
def test_each_strategy_has_its_arms_and_its_share(
    strategy: Any, share: float, arms: dict[str, str]
) -> None:
    state = a_canary_state(strategy=strategy)
    assert (canary_share(state), arms_of(state)) == (share, arms)
    assert {assign(user, state)[:2] for user in range(100)} == {
        (variant, version) for version, variant in arms.items()
    }
    assert canary_share(a_state(strategy=strategy)) == 0.0
