"""Which command offers a version."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from registry.rollout.deploy import Offer, offer_version
from registry.wire.commands import Rollout, Swap
from registry.wire.rollout_state import RolloutState
from tests.unit.registry.builders import a_state

SWAP = Swap("c1", "anna", reason="training 7", model_version="v0.9")


def offered(deploy: Offer, state: RolloutState | None, percentage: float = 10) -> Swap | Rollout:
    command = offer_version(SWAP, deploy, state, percentage)
    assert (command.command_id, command.issued_by, command.reason) == ("c1", "anna", "training 7")
    return command


@pytest.mark.parametrize("deploy", ["swap", "canary", "shadow"])
def test_the_first_version_of_an_environment_is_swapped_in(deploy: Offer) -> None:
    assert offered(deploy, None) == SWAP


def test_a_swap_swaps() -> None:
    assert offered("swap", a_state()) == SWAP


def test_a_shadow_takes_no_percentage() -> None:
    command = offered("shadow", a_state())
    assert isinstance(command, Rollout)
    assert (command.type, command.strategy, command.canary_version) == ("rollout", "shadow", "v0.9")
    assert command.canary_percentage is UNSET


@pytest.mark.parametrize(("percentage", "bucketing"), [(10, UNSET), (0.5, "hash")])
def test_a_canary_of_a_part_of_a_percent_brings_buckets_that_are_fine_enough(
    percentage: float, bucketing: object
) -> None:
    command = offered("canary", a_state(), percentage)
    assert isinstance(command, Rollout)
    assert (command.type, command.strategy, command.canary_version) == ("rollout", "canary", "v0.9")
    assert (command.canary_percentage, command.bucketing) == (percentage, bucketing)
