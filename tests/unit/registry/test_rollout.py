"""The rollout rules: every cell of the transition table, and the properties of assignment."""

from __future__ import annotations

import itertools
import math
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import RefusedCommand
from registry.records import Command, CommandType, RolloutState
from registry.rollout import (
    HASH_BUCKETS,
    PREVIOUS_VERSIONS_KEPT,
    TRANSITIONS,
    Phase,
    apply_command,
    assign,
    bucket_of,
    phase_of,
    versions_named,
)
from tests.unit.registry.builders import a_canary_state, a_command, a_state

STATES: dict[Phase, RolloutState | None] = {
    "empty": None,
    "fixed": a_state(previous_versions=("v0.0",)),
    "canary": a_canary_state(),
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "swap": {"model_version": "v0.3"},
    "rollout": {"strategy": "canary", "canary_version": "v0.3", "canary_percentage": 25.0},
}
CELLS: dict[tuple[Phase, CommandType], RolloutState | str] = {
    ("empty", "swap"): a_state(primary_version="v0.3"),
    ("empty", "rollout"): "no_state",
    ("empty", "promote"): "no_state",
    ("empty", "rollback"): "no_state",
    ("empty", "abort"): "no_state",
    ("fixed", "swap"): a_state(primary_version="v0.3", previous_versions=("v0.1", "v0.0")),
    ("fixed", "rollout"): a_canary_state(canary_version="v0.3", canary_percentage=25.0),
    ("fixed", "promote"): "no_canary",
    ("fixed", "rollback"): a_state(primary_version="v0.0"),
    ("fixed", "abort"): "no_canary",
    ("canary", "swap"): a_canary_state(primary_version="v0.3", previous_versions=("v0.1", "v0.0")),
    ("canary", "rollout"): a_canary_state(canary_version="v0.3", canary_percentage=25.0),
    ("canary", "promote"): a_state(primary_version="v0.2", previous_versions=("v0.1", "v0.0")),
    ("canary", "rollback"): a_state(primary_version="v0.0"),
    ("canary", "abort"): a_state(previous_versions=("v0.0",)),
}
"""What becomes of the states above: the state after the command, or the refusal's code."""


def applied(
    state: RolloutState | None, command: Command, problems: dict[str, str] | None = None
) -> RolloutState:
    return apply_command(state, command, epoch=8, at="now", problems=problems or {})


def refusal_of(
    state: RolloutState | None, command: Command, problems: dict[str, str] | None = None
) -> RefusedCommand:
    with pytest.raises(RefusedCommand) as refused:
        applied(state, command, problems)
    return refused.value


def rules_of(state: RolloutState) -> tuple[Any, ...]:
    return (
        state.strategy,
        state.primary_version,
        state.canary_version,
        state.canary_percentage,
        state.bucketing,
        state.salt,
        state.previous_versions,
    )


def test_the_table_has_every_cell_of_phase_and_command_but_retrain() -> None:
    every = {(p, c) for p in get_args(Phase) for c in get_args(CommandType) if c != "retrain"}
    assert set(TRANSITIONS) == set(CELLS) == every
    assert all(phase_of(state) == phase for phase, state in STATES.items())


@pytest.mark.parametrize("expectation", ["none", "right"])
@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_each_cell_does_what_its_row_says(
    cell: tuple[Phase, CommandType], expectation: str
) -> None:
    phase, kind = cell
    state, outcome = STATES[phase], CELLS[cell]
    expected = {"none": None, "right": state.epoch if state else -1}[expectation]
    command = a_command(kind, expected_epoch=expected, **ARGUMENTS.get(kind, {}))
    if isinstance(outcome, str):
        assert refusal_of(state, command).code == outcome
    else:
        after = applied(state, command)
        assert rules_of(after) == rules_of(outcome)
        assert (after.epoch, after.updated_at, after.updated_by) == (8, "now", "anna")


@pytest.mark.parametrize("stale", [6, 8, -1, 0])
@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_each_cell_refuses_an_epoch_that_is_not_the_current_one(
    cell: tuple[Phase, CommandType], stale: int
) -> None:
    phase, kind = cell
    if phase == "empty" and stale == -1:
        stale = 7
    refused = refusal_of(
        STATES[phase], a_command(kind, expected_epoch=stale, **ARGUMENTS.get(kind, {}))
    )
    assert refused.code == "stale_epoch"
    assert str(stale) in str(refused)
    assert ("7" if phase != "empty" else "no state yet") in str(refused)


@pytest.mark.parametrize("kind", ["swap", "rollout"])
def test_a_version_that_cannot_be_served_is_refused_with_its_problem(kind: CommandType) -> None:
    command = a_command(kind, **ARGUMENTS[kind])
    refused = refusal_of(STATES["fixed"], command, {"v0.3": "als/titles.json is missing"})
    assert refused.code == "unusable_version"
    assert "v0.3" in str(refused)
    assert "als/titles.json is missing" in str(refused)


@pytest.mark.parametrize("name", ["0.3", "v0.03", "../v0.3", "v0.3\n", "latest"])
def test_a_version_of_another_form_is_refused(name: str) -> None:
    assert refusal_of(STATES["fixed"], a_command("swap", model_version=name)).code == "bad_version"
    rollout = a_command("rollout", canary_version=name)
    assert refusal_of(STATES["fixed"], rollout).code == "bad_version"


def test_a_swap_needs_a_version() -> None:
    assert refusal_of(STATES["fixed"], a_command("swap")).code == "missing_version"


def test_a_swap_to_the_primary_changes_no_rule() -> None:
    state = a_canary_state()
    after = applied(state, a_command("swap", model_version="v0.1"))
    assert rules_of(after) == rules_of(state)


def test_a_swap_to_the_canary_version_ends_its_trial() -> None:
    after = applied(a_canary_state(), a_command("swap", model_version="v0.2"))
    assert (after.strategy, after.primary_version) == ("fixed", "v0.2")
    assert (after.canary_version, after.canary_percentage) == (None, 0.0)


def test_a_rollout_changes_only_the_fields_given() -> None:
    state = a_canary_state(bucketing="hash", salt="s")
    after = applied(state, a_command("rollout", canary_percentage=25.0))
    assert rules_of(after) == rules_of(
        a_canary_state(canary_percentage=25.0, bucketing="hash", salt="s")
    )


@pytest.mark.parametrize(
    ("given_fields", "code"),
    [
        ({}, "nothing_given"),
        ({"strategy": "ab"}, "bad_strategy"),
        ({"bucketing": "random"}, "bad_bucketing"),
        ({"strategy": "canary"}, "no_canary"),
        ({"canary_version": "v0.1"}, "canary_is_primary"),
    ],
)
def test_a_rollout_that_makes_no_sense_is_refused(given_fields: dict[str, Any], code: str) -> None:
    assert refusal_of(a_state(), a_command("rollout", **given_fields)).code == code


@pytest.mark.parametrize("bucketing", ["modulo", "hash"])
@pytest.mark.parametrize("percentage", [-0.01, -1, 100.01, 101, math.nan, math.inf, -math.inf])
def test_a_percentage_outside_of_0_to_100_is_refused(bucketing: str, percentage: float) -> None:
    command = a_command("rollout", canary_percentage=percentage, bucketing=bucketing)
    refused = refusal_of(a_canary_state(), command)
    assert refused.code == "bad_percentage"
    assert f"{percentage:g}" in str(refused)
    assert "between 0 and 100" in str(refused)


def test_modulo_takes_whole_percentages_and_names_hash_for_finer_ones() -> None:
    refused = refusal_of(a_canary_state(), a_command("rollout", canary_percentage=0.5))
    assert refused.code == "bad_percentage"
    assert "hash" in str(refused)
    finer = a_command("rollout", canary_percentage=0.5, bucketing="hash")
    assert applied(a_canary_state(), finer).canary_percentage == 0.5


def test_hash_takes_steps_of_a_hundredth_and_nothing_finer() -> None:
    state = a_canary_state(bucketing="hash")
    for hundredths in range(0, HASH_BUCKETS + 1, 7):
        applied(state, a_command("rollout", canary_percentage=hundredths / 100))
    refused = refusal_of(state, a_command("rollout", canary_percentage=0.005))
    assert refused.code == "bad_percentage"


def test_a_change_to_modulo_is_refused_while_the_percentage_is_a_fraction() -> None:
    state = a_canary_state(bucketing="hash", canary_percentage=0.5)
    assert refusal_of(state, a_command("rollout", bucketing="modulo")).code == "bad_percentage"


def test_rollback_goes_back_step_by_step_until_nothing_is_remembered() -> None:
    state: RolloutState = a_state(primary_version="v0.1")
    for minor in range(2, PREVIOUS_VERSIONS_KEPT + 5):
        state = applied(state, a_command("swap", model_version=f"v0.{minor}"))
    assert len(state.previous_versions) == PREVIOUS_VERSIONS_KEPT
    for _ in range(PREVIOUS_VERSIONS_KEPT):
        state = applied(state, a_command("rollback"))
    assert state.primary_version == "v0.4"
    refused = refusal_of(state, a_command("rollback"))
    assert refused.code == "no_previous"
    assert "v0.4" in str(refused)


def test_a_version_is_remembered_once() -> None:
    state = a_state()
    for version in ("v0.2", "v0.1", "v0.2", "v0.1"):
        state = applied(state, a_command("swap", model_version=version))
    assert (state.primary_version, state.previous_versions) == ("v0.1", ("v0.2",))


def test_every_version_that_would_begin_to_answer_is_named() -> None:
    state = a_canary_state(previous_versions=("v0.8", "v0.7"))
    assert versions_named(None, a_command("swap", model_version="v0.3")) == ("v0.3",)
    assert versions_named(state, a_command("rollout", canary_version="v0.3")) == ("v0.3",)
    assert versions_named(state, a_command("rollout", canary_percentage=3.0)) == ()
    assert versions_named(state, a_command("promote")) == (state.canary_version,)
    assert versions_named(state, a_command("rollback")) == ("v0.8",)
    assert versions_named(a_state(), a_command("rollback")) == ()
    assert versions_named(state, a_command("abort")) == ()


# --- assignment -----------------------------------------------------------------------------

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


@settings(max_examples=60)
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


@pytest.mark.parametrize("percentage", [0.01, 0.5, 1, 10, 50, 99.99])
@pytest.mark.parametrize("salt", ["", "spring", "autumn"])
def test_hash_gives_the_canary_its_share_within_3_sigma(percentage: float, salt: str) -> None:
    users, share = 20_000, percentage / 100
    state = a_canary_state(canary_percentage=percentage, bucketing="hash", salt=salt)
    canary = sum(assign(user, state).variant == "canary" for user in range(users))
    assert abs(canary - users * share) <= 3 * math.sqrt(users * share * (1 - share)) + 1


def test_rollouts_of_different_salts_hit_different_users() -> None:
    users, share = 20_000, 0.1
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


@pytest.mark.parametrize("hundredths", [1, 29, 57, 58, 1_003, 9_999])
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
