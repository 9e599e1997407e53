"""The audit trail: who is asked for, and what a command changed, in words.

Reading it from Kafka is in `tests/integration/test_http.py`.
"""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from harness.cells import each_cell
from msgspec.structs import replace

from registry.errors import ConfigurationError
from registry.kafka.audit_trail import TrailQuery, distinct
from registry.rollout.trail_wording import Change, diff, ramp_words
from registry.wire.command_results import CommandResult
from registry.wire.field_types import AnswerError
from registry.wire.instants import Instant
from registry.wire.ramp_values import Ramp, RampState
from tests.unit.registry.builders import a_canary_state, a_state

NOON = Instant(2026, 1, 1, 12, tzinfo=UTC)
PLAN = Ramp(steps=(5.0, 100.0), hold_seconds=60, soak_seconds=60)


def a_result(**given: Any) -> CommandResult:
    fields: dict[str, Any] = {
        "command_id": "c1", "type": "rollout", "environment": "production", "status": "applied",
        "epoch": 8, "issued_by": "anna", "at": NOON,
    }  # fmt: skip
    return CommandResult(**fields | given)


def a_ramp(**given: Any) -> RampState:
    fields: dict[str, Any] = {"plan": PLAN, "ramp_id": "c1", "stage": 1, "since": NOON}
    return RampState(**fields | given)


@each_cell(
    ("asked", "included"),
    [
        ({}, True),
        ({"environment": "staging"}, False),
        ({"environment": None}, True),
        ({"types": ("rollout",)}, True),
        ({"types": ("swap", "abort")}, False),
        ({"issued_by": "anna"}, True),
        ({"issued_by": "ann"}, False),
        ({"since": NOON}, True),
        ({"until": NOON}, False),
        ({"since": NOON.replace(hour=11), "until": NOON.replace(hour=13)}, True),
        ({"since": NOON.replace(hour=13)}, False),
    ],
)
def test_a_result_is_included_or_not(asked: dict[str, Any], included: bool) -> None:
    assert TrailQuery(**{"environment": "production"} | asked).includes(a_result()) is included


@each_cell(
    ("asked", "message"),
    [
        ({"limit": 0}, "limit 0: must be between 1 and 1000"),
        ({"limit": 1001}, "limit 1001: must be between 1 and 1000"),
        ({"types": ("swop",)}, "type 'swop': must be one of swap, rollout"),
        ({"since": NOON.replace(tzinfo=None)}, "needs a time zone"),
        ({"since": NOON, "until": NOON}, "must be before until"),
    ],
)
def test_what_can_match_nothing_is_refused(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TrailQuery("production", **asked)


def test_the_end_of_a_training_run_can_be_asked_for_like_a_command() -> None:
    asked = TrailQuery("production", types=("training",))
    assert asked.includes(a_result(type="training", status="rejected"))
    assert not asked.includes(a_result(type="retrain"))


def test_a_report_that_came_twice_is_one_and_keeps_its_states() -> None:
    whole = a_result(before=a_state(), after=a_canary_state())
    without = a_result()
    refused = a_result(status="rejected", error=AnswerError("no_canary", "none"))
    assert distinct([without, refused, whole]) == [whole, refused]
    assert distinct([whole, without]) == [whole]


def test_a_diff_names_what_changed_and_nothing_else() -> None:
    before = a_state()
    after = a_canary_state(epoch=8, bucketing="hash", salt="s", canary_percentage=0.25)
    assert diff(a_result(before=before, after=after)) == (
        Change("strategy", "fixed", "canary"),
        Change("canary", "none", "v0.2"),
        Change("canary percentage", "0 %", "0.25 %"),
        Change("bucketing", "modulo", "hash"),
        Change("salt", "none", "s"),
    )


def test_the_first_state_is_compared_with_the_defaults() -> None:
    assert diff(a_result(type="swap", after=a_state())) == (Change("primary", "none", "v0.1"),)


def test_what_was_not_applied_changed_nothing() -> None:
    states = {"before": a_state(), "after": a_canary_state()}
    assert diff(a_result(status="rejected", **states)) == ()
    assert diff(a_result(status="duplicate")) == ()


def test_the_step_of_a_ramp_is_told_in_words() -> None:
    before = a_canary_state(canary_percentage=0.0, ramp=a_ramp(stage=0))
    after = replace(before, canary_percentage=5.0, ramp=a_ramp(stage=1))
    assert diff(a_result(type="step", before=before, after=after)) == (
        Change("canary percentage", "0 %", "5 %"),
        Change("ramp", "preparing (stage 1 of 4)", "at 5 % (stage 2 of 4)"),
    )


@each_cell(
    ("ramp", "words"),
    [
        (None, "none"),
        (a_ramp(stage=0), "preparing (stage 1 of 4)"),
        (a_ramp(stage=3), "soaking (stage 4 of 4)"),
        (a_ramp(paused=True), "at 5 % (stage 2 of 4), paused"),
        (a_ramp(environments=("eu", "us")), "at 5 % (stage 2 of 4), then eu, us"),
        (a_ramp(outcome="rolled_back"), "rolled back, was at 5 %"),
        (a_ramp(stage=0, outcome="cancelled"), "cancelled, was preparing"),
        (a_ramp(stage=3, outcome="promoted"), "promoted"),
        (a_ramp(version="v0.2"), "at 5 % (stage 2 of 4)"),
        (a_ramp(version="v0.2", outcome="rolled_back"), "rolled back, v0.2 was at 5 %"),
        (a_ramp(version="v0.2", stage=3, outcome="promoted"), "promoted v0.2"),
    ],
)
def test_a_ramp_is_told_in_words(ramp: RampState | None, words: str) -> None:
    assert ramp_words(ramp) == words
