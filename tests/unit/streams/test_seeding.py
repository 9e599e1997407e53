"""Seeding: which commands the settings ask for at the first start."""

from __future__ import annotations

from registry.control import EMPTY_LOG, follow
from registry.records import Command, RolloutState, decode, encode
from registry.settings import Settings
from streams.seeding import seed_commands

CANARY = {"ROLLOUT_STRATEGY": "canary", "CANARY_VERSION": "v0.2", "CANARY_PERCENTAGE": 10}


def a_seed(latest: str | None = None, **variables: object) -> list[Command]:
    return list(seed_commands(Settings.model_validate(variables), latest, "seed-1"))


def seeded(commands: list[Command]) -> RolloutState | None:
    log = EMPTY_LOG
    for offset, command in enumerate(commands):
        log = follow(log, command, offset=offset, at="now", problems={}).log
    return log.state


def test_without_any_version_nothing_is_asked_for() -> None:
    assert a_seed() == []


def test_without_a_version_a_canary_is_not_asked_for_either() -> None:
    assert a_seed(**CANARY) == []


def test_the_latest_version_is_swapped_in() -> None:
    (swap,) = a_seed("v0.4")
    assert (swap.type, swap.model_version, swap.environment) == ("swap", "v0.4", "production")
    assert (swap.command_id, swap.issued_by) == ("seed-1-swap", "environment")
    assert swap.reason == "first start: latest"


def test_the_version_of_the_settings_goes_before_the_latest() -> None:
    (swap,) = a_seed("v0.4", MODEL_VERSION="v0.1")
    assert (swap.model_version, swap.reason) == ("v0.1", "first start: MODEL_VERSION")


def test_the_commands_are_for_the_environment_of_the_settings() -> None:
    commands = a_seed("v0.1", ENVIRONMENT="staging", **CANARY)
    assert [command.environment for command in commands] == ["staging", "staging"]


def test_a_canary_of_the_settings_is_put_out_beside_the_primary() -> None:
    state = seeded(a_seed("v0.1", **CANARY))
    assert state is not None
    assert (state.strategy, state.primary_version) == ("canary", "v0.1")
    assert (state.canary_version, state.canary_percentage) == ("v0.2", 10)


def test_a_canary_version_without_the_strategy_is_not_put_out() -> None:
    assert len(a_seed("v0.1", CANARY_VERSION="v0.2")) == 1


def test_of_two_owners_that_seed_at_once_only_the_first_one_swaps() -> None:
    first, second = seed_commands(Settings(), "v0.1", "a"), seed_commands(Settings(), "v0.2", "b")
    state = seeded([*first, *second])
    assert state is not None
    assert (state.primary_version, state.epoch) == ("v0.1", 0)


def test_the_commands_read_back_as_they_were_written() -> None:
    for command in a_seed("v0.1", **CANARY):
        assert decode(Command, encode(command)) == command
