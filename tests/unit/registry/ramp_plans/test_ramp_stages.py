"""A ramp's plan: its stages, its arithmetic, and how verdicts are put together."""

from __future__ import annotations

from itertools import product
from typing import Any, get_args

import msgspec
import pytest
from harness.cells import each_cell

from registry.guardrails.verdicts import worst
from registry.ramp_plans.false_alarm import alpha_of, guardrails_on
from registry.ramp_plans.ramp_durations import (
    LOADING_SECONDS,
    PATIENCE_HOLDS,
    arithmetic_of,
    patience_seconds,
)
from registry.ramp_plans.ramp_stages import SENTENCES, Stage, stage_of, stages_of
from registry.wire.ramp_values import (
    Finding,
    Guardrails,
    InterleaveStep,
    Ramp,
    ShadowStep,
    StageKind,
    Verdict,
)
from tests.unit.registry.builders import a_plan, a_ramp

SHADOW = ShadowStep(hold_seconds=20.0, min_overlap=0.5)
MIXED = InterleaveStep(hold_seconds=40.0)
PREPARING = Stage("preparing", 0.0, 0.0)
STEPS = (Stage("stepping", 10.0, 60.0), Stage("stepping", 100.0, 60.0))
OFF = Guardrails(
    error_rate=None, fallback_rate=None, empty_rate=None, latency_ratio=None, sample_ratio=False
)


@each_cell("environments", [(), ("eu",)])
@each_cell("soak_seconds", [0.0, 30.0])
@each_cell("shadow", [None, SHADOW])
@each_cell("interleave", [None, MIXED])
def test_the_stages_are_shadow_interleaving_steps_and_soak_where_they_are_asked_for(
    interleave: InterleaveStep | None,
    shadow: ShadowStep | None,
    soak_seconds: float,
    environments: tuple[str, ...],
) -> None:
    plan = a_plan(shadow=shadow, interleave=interleave, soak_seconds=soak_seconds)
    stages = stages_of(plan, environments)
    soaks = soak_seconds > 0 or bool(environments)
    assert stages == (
        PREPARING,
        *([Stage("shadowing", 0.0, 20.0)] if shadow else []),
        *([Stage("interleaving", 0.0, 40.0)] if interleave else []),
        *STEPS,
        *([Stage("soaking", 100.0, soak_seconds)] if soaks else []),
    )


def test_a_ramp_that_ended_shows_the_stage_that_it_was_in() -> None:
    assert stage_of(a_ramp(2)).percentage == 100.0
    assert stage_of(a_ramp(4, outcome="promoted")).kind == "soaking"


def test_every_stage_kind_has_its_sentence() -> None:
    assert set(SENTENCES) == set(get_args(StageKind))
    assert all(sentence.endswith(".") for sentence in SENTENCES.values())


def test_patience_is_three_holds_unless_the_plan_says_otherwise() -> None:
    assert patience_seconds(a_plan(hold_seconds=20.0)) == PATIENCE_HOLDS * 20.0 == 60.0
    assert patience_seconds(a_plan(patience_seconds=5.0)) == 5.0
    assert patience_seconds(a_plan(patience_seconds=0.0)) == 0.0


@each_cell("kind", get_args(StageKind))
def test_loading_is_given_its_minute_at_least_and_nothing_else_is(kind: StageKind) -> None:
    impatient, patient = a_plan(patience_seconds=0.0), a_plan(patience_seconds=600.0)
    assert patience_seconds(impatient, kind) == (LOADING_SECONDS if kind == "preparing" else 0.0)
    assert patience_seconds(patient, kind) == 600.0


@each_cell(
    ("guardrails", "on"),
    [
        (Guardrails(), 5),
        (Guardrails(sample_ratio=False), 4),
        (Guardrails(error_rate=None, latency_ratio=None), 3),
        (OFF, 0),
    ],
)
def test_a_guardrail_is_off_only_if_it_is_turned_off(guardrails: Guardrails, on: int) -> None:
    assert guardrails_on(guardrails) == on


@each_cell("shadow", [None, SHADOW])
@each_cell("interleave", [None, MIXED])
@each_cell("guardrails", [Guardrails(), Guardrails(error_rate=None), OFF])
def test_all_guardrails_of_all_stages_together_stay_below_the_false_alarm_rate(
    shadow: ShadowStep | None, interleave: InterleaveStep | None, guardrails: Guardrails
) -> None:
    plan = a_plan(shadow=shadow, interleave=interleave, guardrails=guardrails, false_alarm=0.02)
    judged = [stage for stage in stages_of(plan, ("eu",)) if stage.kind != "preparing"]
    in_all = alpha_of(plan) * len(judged) * max(guardrails_on(guardrails), 1)
    assert in_all == pytest.approx(0.02)


def test_the_arithmetic_adds_holds_soak_and_patience_for_each_environment() -> None:
    plan = a_plan(shadow=SHADOW, patience_seconds=5.0)
    once, thrice = arithmetic_of(plan), arithmetic_of(plan, 3)
    assert once.to_promote == 20 + 60 + 60 + 30
    assert once.to_promote_at_most == once.to_promote + LOADING_SECONDS + 3 * 5
    assert thrice[:2] == (3 * once.to_promote, 3 * once.to_promote_at_most)
    assert thrice.to_roll_back == once.to_roll_back == 5.0


ORDER: tuple[Verdict, ...] = ("pass", "inconclusive", "error", "fail")


@each_cell(("first", "other"), list(product(ORDER, ORDER)))
def test_findings_are_put_together_to_the_worst(first: Verdict, other: Verdict) -> None:
    findings = (Finding("a", first, ""), Finding("b", other, ""))
    assert worst(findings) == max(first, other, key=ORDER.index)


def test_no_finding_is_never_a_pass() -> None:
    assert worst(()) == "error"
    assert set(ORDER) == set(get_args(Verdict))


@each_cell(
    "wrong",
    [
        {"steps": []},
        {"steps": [0]},
        {"steps": [101]},
        {"steps": [1] * 101},
        {"hold_seconds": -1},
        {"min_requests": 0},
        {"patience_seconds": -1},
        {"soak_seconds": -1},
        {"false_alarm": 0},
        {"false_alarm": 0.6},
        {"guardrails": {"error_rate": 1.5}},
        {"guardrails": {"error_rate": -0.1}},
        {"guardrails": {"error_rate": 0}},
        {"guardrails": {"fallback_rate": 0}},
        {"guardrails": {"empty_rate": 0}},
        {"guardrails": {"latency_ratio": 0.5}},
        {"guardrails": {"latency_quantile": 1}},
        {"guardrails": {"errors": 0.1}},
        {"shadow": {"hold_seconds": 5}},
        {"shadow": {"hold_seconds": 5, "min_overlap": 1.1}},
        {"shadow": {"hold_seconds": 5, "min_overlap": 0.5, "sample_percentage": 0}},
        {"hold": 5},
    ],
    ids=str,
)
def test_a_plan_of_another_shape_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"steps": [10], "hold_seconds": 60} | wrong, Ramp)


def test_a_guardrail_is_turned_off_by_null() -> None:
    plan = msgspec.convert(
        {"steps": [10], "hold_seconds": 60, "guardrails": {"error_rate": None}}, Ramp
    )
    assert (plan.guardrails.error_rate, plan.guardrails.empty_rate) == (None, 0.01)
