from typing import Any

import pytest
from harness.cells import each_cell

from registry.errors import RefusedCommand
from registry.guardrails.verdicts import judge
from registry.ramp_plans.false_alarm import alpha_of
from registry.rollout.ramp_dry_run import Need, plan_of
from registry.wire.commands import Command, Rollout
from registry.wire.counts import ArmCounts
from registry.wire.ramp_values import Guardrails, Ramp, ShadowStep

RAMP = Ramp(steps=(1.0, 50.0, 100.0), hold_seconds=600)


def a_command(ramp: Ramp = RAMP, **fields: Any) -> Command:
    return Rollout("c", "me", canary_version="v0.2", ramp=ramp, **fields)


def needs_of(ramp: Ramp) -> dict[str, Need]:
    return {need.guardrail: need for need in plan_of(a_command(ramp), None).needs}


def test_stages_have_their_users_and_their_least_and_most_time() -> None:
    plan = plan_of(a_command(), 12_345)
    assert [
        (stage.kind, stage.users, stage.hold_seconds, stage.at_most_seconds)
        for stage in plan.stages
    ] == [
        ("preparing", 0, 0, 1800),
        ("stepping", 123, 600, 2400),
        ("stepping", 6172, 600, 2400),
        ("stepping", 12345, 600, 2400),
    ]
    assert (plan.to_promote_seconds, plan.to_promote_at_most_seconds) == (1800, 9000)


def test_nobody_s_users_are_not_made_up() -> None:
    assert {stage.users for stage in plan_of(a_command(), None).stages} == {None}


def test_the_time_to_promote_is_that_of_all_environments() -> None:
    plan = plan_of(a_command(environments=("production", "eu", "us")), 10)
    assert plan.environments == ("production", "eu", "us")
    assert plan.to_promote_seconds == 3 * 1800
    assert plan.stages[-1].kind == "soaking"


@each_cell(
    ("command", "code"),
    [
        (a_command(Ramp(steps=(50.0, 10.0), hold_seconds=1)), "bad_ramp"),
        (a_command(Ramp(steps=(0.5,), hold_seconds=1)), "bad_percentage"),
        (a_command(environments=("eu",)), "bad_ramp"),
    ],
)
def test_a_plan_that_the_rules_refuse_is_refused_before_it_is_sent(
    command: Command, code: str
) -> None:
    with pytest.raises(RefusedCommand) as refused:
        plan_of(command, None)
    assert refused.value.code == code


def test_finer_steps_are_planned_with_hash() -> None:
    command = a_command(Ramp(steps=(0.5,), hold_seconds=1), bucketing="hash")
    assert plan_of(command, 1000).stages[1].users == 5


def test_the_requests_needed_are_those_at_which_the_guardrail_says_so() -> None:
    need = needs_of(RAMP)["error_rate"]
    assert need.to_pass is not None

    def verdict(count: int) -> str:
        arm = ArmCounts("", "", count)
        guardrails = Guardrails(error_rate=0.01)
        (found,) = [
            judged
            for judged in judge(
                guardrails, arm, arm, percentage=50, alpha=alpha_of(RAMP), min_requests=1
            )
            if judged.guardrail == "error_rate"
        ]
        return found.verdict

    assert verdict(need.to_pass) == "pass"
    assert verdict(need.to_pass - 1) == "inconclusive"


def test_each_guardrail_that_is_on_says_what_it_needs() -> None:
    assert list(needs_of(RAMP)) == [
        "min_requests", "error_rate", "fallback_rate", "empty_rate", "latency_ratio",
        "sample_ratio",
    ]  # fmt: skip
    off = Guardrails(error_rate=None, latency_ratio=None, sample_ratio=False)
    shadow = ShadowStep(hold_seconds=60, min_overlap=0.5)
    needs = needs_of(Ramp(steps=(100.0,), hold_seconds=1, guardrails=off, shadow=shadow))
    assert set(needs) == {
        "min_requests", "fallback_rate", "empty_rate", "min_compared", "min_overlap",
    }  # fmt: skip
    assert all(need.to_pass for need in needs.values())


def test_a_smaller_margin_needs_more_requests() -> None:
    narrow = needs_of(Ramp(steps=(50.0,), hold_seconds=1, guardrails=Guardrails(error_rate=0.001)))
    wide = needs_of(Ramp(steps=(50.0,), hold_seconds=1, guardrails=Guardrails(error_rate=0.1)))
    assert narrow["error_rate"].to_pass > 10 * wide["error_rate"].to_pass


def test_what_no_number_of_requests_can_show_is_never() -> None:
    same = Guardrails(error_rate=0.0)
    needs = needs_of(Ramp(steps=(50.0,), hold_seconds=1, guardrails=same))
    assert needs["error_rate"] == Need("error_rate", 0.0, None, None)
