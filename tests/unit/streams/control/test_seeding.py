"""Seeding: which commands the settings ask for at the first start."""

from __future__ import annotations

from harness.cells import each_cell
from msgspec.structs import replace

from registry.rollout.command_log import EMPTY_LOG, ControlLog, follow
from registry.settings import Settings
from registry.wire.codec import decode, encode
from registry.wire.commands import Command, Swap
from registry.wire.instants import BEGINNING
from registry.wire.rollout_state import RolloutState
from streams.control.seeding import next_seed, seed_notice
from tests.unit.registry.builders import a_canary_state, a_state

CANARY = {"ROLLOUT_STRATEGY": "canary", "CANARY_VERSION": "v0.2", "CANARY_PERCENTAGE": 10}


def a_seed(
    state: RolloutState | None = None, latest: str | None = "v0.1", **variables: object
) -> Command | None:
    seed_id = "seed-1" if state is None else "seed-2"
    return next_seed(Settings.model_validate(variables), state, latest, seed_id)


def after(log: ControlLog, command: Command | None) -> ControlLog:
    assert command is not None
    return follow(log, command, offset=log.last_offset + 1, at=BEGINNING, problems={}).log


def test_without_any_version_nothing_is_asked_for() -> None:
    assert a_seed(latest=None) is None
    assert a_seed(latest=None, **CANARY) is None


def test_the_latest_version_is_swapped_in() -> None:
    swap = a_seed(latest="v0.4")
    assert swap is not None
    assert (swap.type, swap.model_version, swap.environment) == ("swap", "v0.4", "production")
    assert (swap.command_id, swap.issued_by) == ("seed-1", "environment")
    assert swap.reason == "first start: the registry's latest"


def test_the_version_of_the_settings_goes_before_the_latest() -> None:
    swap = a_seed(latest="v0.4", MODEL_VERSION="v0.1")
    assert swap is not None
    assert (swap.model_version, swap.reason) == ("v0.1", "first start: MODEL_VERSION")


def test_the_command_is_for_the_environment_of_the_settings() -> None:
    swap = a_seed(ENVIRONMENT="staging")
    assert swap is not None
    assert swap.environment == "staging"


def test_a_canary_of_the_settings_is_put_out_beside_the_seeded_primary_and_then_no_more() -> None:
    log = after(EMPTY_LOG, a_seed(**CANARY))
    log = after(log, a_seed(log.state, **CANARY))
    assert log.state is not None
    assert (log.state.strategy, log.state.primary_version) == ("canary", "v0.1")
    assert (log.state.canary_version, log.state.canary_percentage) == ("v0.2", 10)
    assert a_seed(log.state, **CANARY) is None


def test_a_canary_version_without_the_strategy_is_not_put_out() -> None:
    log = after(EMPTY_LOG, a_seed(CANARY_VERSION="v0.2"))
    assert a_seed(log.state, CANARY_VERSION="v0.2") is None


def test_of_two_owners_that_seed_at_once_only_the_first_one_swaps() -> None:
    first, second = a_seed(latest="v0.1"), a_seed(latest="v0.2", ENVIRONMENT="production")
    assert second is not None
    log = after(EMPTY_LOG, first)
    log = follow(log, replace(second, command_id="seed-2"), offset=1, at=BEGINNING, problems={}).log
    assert log.state is not None
    assert (log.state.primary_version, log.state.epoch) == ("v0.1", 0)
    assert log.remembered[-1].result.status == "rejected"


def test_a_seed_never_follows_a_persons_command() -> None:
    by_hand = Swap("c1", "anna", model_version="v0.7")
    log = after(EMPTY_LOG, by_hand)
    assert a_seed(log.state, **CANARY) is None
    late = after(log, a_seed(None, **CANARY))
    assert late.state == log.state


def test_the_commands_read_back_as_they_were_written() -> None:
    swap = a_seed()
    assert swap is not None
    assert decode(Command, encode(swap)) == swap


@each_cell("strategy", ["ab_test", "shadow"])
def test_every_strategy_can_be_seeded(strategy: str) -> None:
    asked = {"ROLLOUT_STRATEGY": strategy, "CANARY_VERSION": "v0.2"}
    log = after(EMPTY_LOG, a_seed(**asked))
    log = after(log, a_seed(log.state, **asked))
    assert log.state is not None
    assert (log.state.strategy, log.state.canary_version) == (strategy, "v0.2")


# --- later starts ---------------------------------------------------------------------------

SEEDED = a_canary_state(updated_by="environment")


def a_notice(state: RolloutState, **variables: object) -> str | None:
    return seed_notice(Settings.model_validate(variables), state)


def test_a_later_start_with_the_same_values_or_none_says_nothing() -> None:
    assert a_notice(SEEDED, MODEL_VERSION="v0.1", **CANARY) is None
    assert a_notice(SEEDED) is None
    assert a_notice(a_state()) is None


@each_cell(
    ("variables", "message"),
    [
        ({"MODEL_VERSION": "v0.9"}, "MODEL_VERSION=v0.9 (now v0.1)"),
        ({"CANARY_VERSION": "v0.9"}, "CANARY_VERSION=v0.9 (now v0.2)"),
        (CANARY | {"CANARY_PERCENTAGE": 25}, "CANARY_PERCENTAGE=25 (now 10)"),
        (CANARY | {"ROLLOUT_STRATEGY": "shadow"}, "ROLLOUT_STRATEGY=shadow (now canary)"),
        (
            {"MODEL_VERSION": "v0.9", "CANARY_VERSION": "v0.8"},
            "MODEL_VERSION=v0.9 (now v0.1), CANARY_VERSION=v0.8 (now v0.2)",
        ),
    ],
)
def test_a_later_start_with_other_values_says_which_and_that_they_change_nothing(
    variables: dict[str, object], message: str
) -> None:
    assert a_notice(SEEDED, **variables) == (
        f"{message}: these only seed an environment without a state; production is at epoch 7, set "
        "by environment. Use `recstream rollout` to change it"
    )


def test_a_canary_that_is_gone_is_told_as_none() -> None:
    assert "CANARY_VERSION=v0.2 (now none)" in str(a_notice(a_state(), **CANARY))
