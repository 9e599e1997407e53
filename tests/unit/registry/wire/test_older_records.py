"""Records of the releases before, which spelled into names and ids what are fields today."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness.cells import each_cell

from registry.rollout.command_log import ControlLog
from registry.wire.codec import decode, encode, from_document
from registry.wire.command_results import CommandResult
from registry.wire.commands import Command
from registry.wire.instants import BEGINNING
from registry.wire.rollout_state import RolloutState
from registry.wire.training_records.training_messages import TrainingRun
from tests.unit.registry.builders import a_command, a_plan, a_state

SPELLINGS = [
    ("ramp", "ramp"),
    ("timer@w1", "timer"),
    ("environment", "seed"),
    ("retrain@w1", "training"),
    ("anna@laptop", "operator"),
    ("ramper", "operator"),
]


def older(record: Any, **changed: Any) -> dict[str, Any]:
    """Return `record` as the release before wrote it: without an origin."""
    document: dict[str, Any] = json.loads(encode(record)) | changed
    del document["origin"]
    return document


def written(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


@each_cell(("issued_by", "origin"), SPELLINGS)
def test_the_origin_of_an_older_record_is_read_off_its_issuers_name(
    issued_by: str, origin: str
) -> None:
    command = older(a_command("rollback"), issued_by=issued_by)
    assert decode(Command, written(command)).origin == origin
    state = older(a_state(), updated_by=issued_by)
    assert decode(RolloutState, written(state)).origin == origin
    result = {
        "command_id": "c", "type": "swap", "environment": "production", "status": "applied",
        "epoch": 7, "issued_by": issued_by, "at": "2026-01-01T12:00:00.000+00:00",
        "before": state, "after": older(a_state(), updated_by="anna"),
    }  # fmt: skip
    read = decode(CommandResult, written(result))
    assert read.before is not None
    assert read.after is not None
    assert (read.origin, read.before.origin, read.after.origin) == (origin, origin, "operator")


@each_cell(("issued_by", "implied"), SPELLINGS)
def test_a_record_that_states_its_origin_is_believed_whatever_its_issuer_is_called(
    issued_by: str, implied: str
) -> None:
    for record in (
        a_command("rollback", issued_by=issued_by),
        a_command("rollback", issued_by=issued_by, origin="seed"),
        a_state(updated_by=issued_by),
        TrainingRun("x-again", "w1", issued_by, BEGINNING, BEGINNING),
    ):
        assert decode(type(record), encode(record)) == record


def test_an_older_log_has_origins_in_its_state_and_in_what_it_remembers() -> None:
    document = {
        "last_offset": 4,
        "state": older(a_state(), updated_by="environment"),
        "remembered": [
            {
                "offset": 4,
                "result": {
                    "command_id": "c", "type": "swap", "environment": "production",
                    "status": "applied", "epoch": 4, "issued_by": "environment",
                    "at": "2026-01-01T12:00:00.000+00:00",
                },
            }
        ],
    }  # fmt: skip
    log = from_document(ControlLog, document)
    assert log.state is not None
    assert (log.state.origin, log.remembered[0].result.origin) == ("seed", "seed")


def test_a_ramp_that_an_older_owner_hands_over_is_known_by_its_id() -> None:
    ramp = a_command("rollout", canary_version="v0.2", ramp=a_plan())
    handed_over = older(ramp, command_id="deploy@eu", environment="eu", issued_by="ramp")
    assert decode(Command, written(handed_over)).ramp_id == "deploy"
    operators = older(ramp, command_id="deploy@eu", environment="eu", issued_by="anna")
    assert b"ramp_id" not in encode(decode(Command, written(operators)))


def test_an_older_runs_second_attempt_is_known_by_its_id() -> None:
    run = TrainingRun("run-1-again", "w1", "timer@w1", BEGINNING, BEGINNING)
    read = from_document(TrainingRun, older(run))
    assert (read.origin, read.repeats) == ("timer", "run-1")
    first = from_document(TrainingRun, older(run, run_id="run-1", requested_by="anna"))
    assert (first.origin, first.repeats) == ("operator", None)


@each_cell(
    "document",
    [
        {"issued_by": 7}, {"issued_by": "ramp", "type": "rollout", "command_id": 7, "ramp": 1},
        {"requested_by": "anna", "run_id": []}, {"remembered": 7}, {"state": [], "after": 5},
    ],
)  # fmt: skip
def test_what_is_no_record_of_ours_is_left_to_the_codec(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Object missing|Expected"):
        from_document(CommandResult, document)
