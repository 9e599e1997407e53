"""Which command offers a version."""

from __future__ import annotations

from harness.cells import each_cell
from msgspec import UNSET

from registry.rollout.deploy_or_wait import Offer, offer_version, why_to_wait
from registry.rollout.policy_file import RampPolicy
from registry.wire.commands import Rollout, Swap
from registry.wire.ramp_values import RampCause
from registry.wire.rollout_state import RolloutState
from tests.unit.registry.builders import (
    a_canary_state,
    a_plan,
    a_ramp,
    a_ramping_state,
    a_soaking_state,
    a_state,
)

SWAP = Swap("c1", "anna", reason="training 7", model_version="v0.9")
POLICY = RampPolicy(ramp=a_plan(), environments=("production", "eu"), bucketing="hash")
CAUSE = RampCause("run-7", "anna", "new films")


def offered(deploy: Offer, state: RolloutState | None, percentage: float = 10) -> Swap | Rollout:
    command = offer_version(SWAP, deploy, state, percentage, POLICY, CAUSE)
    assert (command.command_id, command.issued_by, command.reason) == ("c1", "anna", "training 7")
    return command


@each_cell("deploy", ["swap", "canary", "shadow", "ramp"])
def test_the_first_version_of_an_environment_is_swapped_in(deploy: Offer) -> None:
    assert offered(deploy, None) == SWAP


def test_a_swap_swaps() -> None:
    assert offered("swap", a_state()) == SWAP


def test_a_shadow_takes_no_percentage() -> None:
    command = offered("shadow", a_state())
    assert isinstance(command, Rollout)
    assert (command.type, command.strategy, command.canary_version) == ("rollout", "shadow", "v0.9")
    assert command.canary_percentage is UNSET


@each_cell(("percentage", "bucketing"), [(10, UNSET), (0.5, "hash")])
def test_a_canary_of_a_part_of_a_percent_brings_buckets_that_are_fine_enough(
    percentage: float, bucketing: object
) -> None:
    command = offered("canary", a_state(), percentage)
    assert isinstance(command, Rollout)
    assert (command.type, command.strategy, command.canary_version) == ("rollout", "canary", "v0.9")
    assert (command.canary_percentage, command.bucketing) == (percentage, bucketing)


def test_a_ramp_is_the_policys_and_says_which_run_it_comes_from() -> None:
    command = offered("ramp", a_state())
    assert command == Rollout(
        "c1",
        "anna",
        reason="training 7",
        canary_version="v0.9",
        ramp=POLICY.ramp,
        environments=("production", "eu"),
        bucketing="hash",
        cause=CAUSE,
        fit=True,
    )


TRIALS = {
    "canary": a_canary_state(),
    "ab_test": a_canary_state(strategy="ab_test"),
    "shadow": a_canary_state(strategy="shadow"),
}
RAMPS = {
    "ramping": a_ramping_state(),
    "paused": a_ramping_state(a_ramp(paused=True)),
    "soaking": a_soaking_state(),
}
FREE = {
    "empty": None,
    "fixed": a_state(),
    "ended": a_state(ramp=a_ramp(3, outcome="promoted")),
}


@each_cell("deploy", ["swap", "canary", "shadow", "ramp"])
@each_cell("state", RAMPS.values(), ids=RAMPS)
def test_every_deploy_waits_for_a_ramp_that_is_under_way(
    deploy: Offer, state: RolloutState
) -> None:
    why = why_to_wait("v0.9", deploy, state)
    assert why is not None
    assert why.startswith("a ramp is in progress; ")


@each_cell("state", TRIALS.values(), ids=TRIALS)
def test_a_ramp_waits_for_every_other_trial_and_names_it(state: RolloutState) -> None:
    why = why_to_wait("v0.9", "ramp", state)
    assert why is not None
    assert f"production has a trial of its own (strategy {state.strategy}, " in why


@each_cell("deploy", ["swap", "canary", "shadow"])
@each_cell("state", TRIALS.values(), ids=TRIALS)
def test_what_an_operator_asked_for_takes_the_place_of_a_trial(
    deploy: Offer, state: RolloutState
) -> None:
    assert why_to_wait("v0.9", deploy, state) is None


@each_cell("deploy", ["swap", "canary", "shadow", "ramp"])
@each_cell("state", FREE.values(), ids=FREE)
def test_nothing_waits_where_nothing_is_on_trial(deploy: Offer, state: RolloutState | None) -> None:
    assert why_to_wait("v0.9", deploy, state) is None
