"""The control log: one application per command, whatever comes twice."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from registry.error_codes import CommandCode
from registry.errors import RefusedCommand
from registry.rollout.command_log import (
    COMMANDS_REMEMBERED,
    EMPTY_LOG,
    ControlLog,
    Decision,
    follow,
)
from registry.wire.codec import decode, encode, from_document
from registry.wire.commands import KINDS, BeginEra, Command, CommandType, Retrain, Step, Swap
from registry.wire.field_types import AnswerError
from registry.wire.instants import Instant, read_instant, write_instant
from registry.wire.ramp_values import Finding
from tests.unit.registry.builders import a_command, a_plan, a_ramping_state, a_state, an_arm

AT = Instant.read("2026-01-01T00:00:00.000+00:00")
CHANGELOG_RECORD_BYTES = 1_000_000
"""What Faust's producer takes as one record, and so the most that the log may ever be."""


def a_swap(command_id: str, version: str = "v0.1", **given: Any) -> Command:
    return Swap(command_id, "anna", model_version=version, **given)


def a_retrain(command_id: str, **given: Any) -> Command:
    return Retrain(command_id, "anna", **given)


def decide(log: ControlLog, command: Command, offset: int, **given: Any) -> Decision:
    return follow(log, command, offset=offset, at=AT, **{"problems": {}} | given)


def after(*commands: Command, log: ControlLog = EMPTY_LOG) -> ControlLog:
    for command in commands:
        log = decide(log, command, log.last_offset + 1).log
    return log


def test_an_applied_command_changes_the_state_at_its_offset() -> None:
    log, result, is_new = decide(EMPTY_LOG, a_swap("c1", reason="why"), 5)

    state = a_state(epoch=5, updated_at=AT, updated_by="anna", reason="why")
    assert (log.last_offset, log.state, is_new) == (5, state, True)
    assert (result.status, result.epoch, result.before, result.after) == ("applied", 5, None, state)
    assert (result.command_id, result.type, result.environment) == ("c1", "swap", "production")
    assert (result.issued_by, result.at, result.reason, result.error) == ("anna", AT, "why", None)


def test_the_result_tells_the_state_before_and_after() -> None:
    before = after(a_swap("c1"))
    result = decide(before, a_swap("c2", "v0.2"), 5).result
    assert result.before == before.state
    assert result.after is not None
    assert result.after.previous_versions == ("v0.1",)


def test_a_rejected_command_says_why_and_changes_only_where_the_log_ends() -> None:
    before = after(a_swap("c1"))
    log, result, is_new = decide(before, a_swap("c2", expected_epoch=3), 9)
    assert (log.state, log.last_offset, is_new) == (before.state, 9, True)
    assert (result.status, result.epoch) == ("rejected", 0)
    assert (result.before, result.after) == (None, None)
    assert result.error is not None
    assert result.error.code == "stale_epoch"


def test_a_command_with_an_unusable_version_is_rejected_with_the_problem() -> None:
    result = decide(EMPTY_LOG, a_swap("c1"), 0, problems={"v0.1": "is damaged"}).result
    assert result.error == AnswerError("unusable_version", "version v0.1: is damaged")


def test_a_command_that_cannot_be_carried_out_is_rejected_with_the_callers_reason() -> None:
    busy = RefusedCommand("retrain: one is in progress", CommandCode.TRAINING_RUNNING)
    log, result, is_new = decide(EMPTY_LOG, a_retrain("c1"), 0, refusal=busy)
    assert (result.status, is_new, log.state) == ("rejected", True, None)
    assert result.error == AnswerError("training_running", "retrain: one is in progress")


def test_a_refusal_goes_before_the_rules() -> None:
    refusal = RefusedCommand("swap: not now", CommandCode.INTERNAL)
    log, result, _ = decide(EMPTY_LOG, a_swap("c1"), 0, refusal=refusal)
    assert (result.status, log.state) == ("rejected", None)


def test_an_id_that_comes_again_at_another_offset_is_a_duplicate_and_changes_nothing() -> None:
    before = after(a_swap("c1"))
    log, result, is_new = decide(before, a_swap("c1", "v0.9"), 7)
    assert (result.status, result.epoch, is_new) == ("duplicate", 0, False)
    assert (log.state, log.remembered, log.last_offset) == (before.state, before.remembered, 7)


def test_an_id_that_was_rejected_is_a_duplicate_as_well() -> None:
    before = after(a_swap("c1", expected_epoch=99))
    assert decide(before, a_swap("c1"), 1).result.status == "duplicate"


def test_a_redelivered_command_has_the_same_result_and_no_second_effect() -> None:
    log, first, _ = decide(EMPTY_LOG, a_swap("c1"), 5)
    again = decide(log, a_swap("c1"), 5)
    assert again.log == log
    assert not again.is_new
    assert again.result == msgspec.structs.replace(first, before=None, after=None)


def test_a_redelivered_rejection_stays_one_even_if_the_reason_is_gone() -> None:
    busy = RefusedCommand("retrain: one is in progress", CommandCode.TRAINING_RUNNING)
    log, first, _ = decide(EMPTY_LOG, a_retrain("c1"), 5, refusal=busy)
    assert decide(log, a_retrain("c1"), 5) == Decision(log, first, is_new=False)


def test_a_redelivered_duplicate_is_still_a_duplicate() -> None:
    before = after(a_swap("c1"), a_swap("c1"))
    log, result, is_new = decide(before, a_swap("c1"), 1)
    assert (log, result.status, is_new) == (before, "duplicate", False)


def test_a_redelivered_command_is_not_lost_behind_later_ones() -> None:
    log = after(a_swap("c1"), a_swap("c2", "v0.2"))
    again = decide(log, a_swap("c1"), 0)
    assert (again.log, again.is_new) == (log, False)
    assert (again.result.status, again.result.epoch) == ("applied", 0)


def test_a_redelivered_command_that_is_forgotten_has_no_second_effect() -> None:
    swaps = [a_swap(f"c{n}", f"v0.{n}") for n in range(COMMANDS_REMEMBERED + 1)]
    log = after(*swaps)
    again = decide(log, swaps[0], 0)
    assert (again.log, again.is_new, again.result.status) == (log, False, "duplicate")
    assert again.result.error is not None
    assert again.result.error.code == "redelivered"


def test_the_latest_commands_are_remembered_oldest_first_and_no_more() -> None:
    log = after(*[a_swap(f"c{n}", f"v0.{n}") for n in range(COMMANDS_REMEMBERED + 20)])
    ids = [remembered_command.result.command_id for remembered_command in log.remembered]
    assert ids == [f"c{n}" for n in range(20, COMMANDS_REMEMBERED + 20)]
    assert [remembered_command.offset for remembered_command in log.remembered] == list(
        range(20, COMMANDS_REMEMBERED + 20)
    )


def test_duplicates_push_no_command_out_of_the_memory() -> None:
    before = after(a_swap("c1"))
    log = after(*[a_swap("c1")] * (COMMANDS_REMEMBERED + 1), log=before)
    assert log.remembered == before.remembered


def test_states_are_not_remembered_with_each_command() -> None:
    log = after(a_swap("c1"), a_swap("c2", "v0.2"))
    assert {
        (remembered_command.result.before, remembered_command.result.after)
        for remembered_command in log.remembered
    } == {(None, None)}


@each_cell(
    ("given", "commands"),
    [
        ({"canary_version": "x" * 200}, COMMANDS_REMEMBERED),
        ({"reason": "😀" * 1000}, 150),
    ],
    ids=["version", "reason in emoji"],
)
def test_the_log_fits_into_one_changelog_record_whatever_was_commanded(
    given: dict[str, Any], commands: int
) -> None:
    log = ControlLog(0, a_ramping_state())
    for number in range(commands):
        fields = {"command_id": f"c{number}", "type": "rollout", "issued_by": "anna"} | given
        command = decode(Command, msgspec.json.encode(fields))
        log = after(command, log=log)
    assert len(log.remembered) > 1
    assert (len(log.remembered) < commands) == ("reason" in given)
    assert len(encode(log)) < CHANGELOG_RECORD_BYTES


def test_a_log_with_a_ramp_survives_the_table() -> None:
    start = a_command("rollout", canary_version="v0.2", ramp=a_plan())
    log = after(a_swap("c0"), start)
    assert log.state is not None
    baseline = an_arm("primary", "v0.1", scoring={-172: 5, 3: 1})
    finding = Finding("error_rate", "pass", "fine", {"canary": 0.01})
    step = Step("s1", "ramp", step=1, findings=(finding,), baseline=baseline)
    log = after(step, log=log)
    text = json.dumps(msgspec.to_builtins(log, str_keys=True, enc_hook=write_instant))
    again = msgspec.convert(json.loads(text), ControlLog, str_keys=True, dec_hook=read_instant)
    assert again == log
    assert again.state is not None
    assert again.state.ramp is not None
    assert again.state.ramp.baseline == baseline


def test_the_time_of_the_record_begins_each_stage() -> None:
    log = after(a_swap("c0"), a_command("rollout", canary_version="v0.2", ramp=a_plan()))
    assert log.state is not None
    assert log.state.ramp is not None
    assert (log.state.ramp.since, log.state.updated_at) == (AT, AT)


def test_a_retraining_is_applied_and_leaves_the_state_as_it_is() -> None:
    before = after(a_swap("c1"))
    log, result, is_new = decide(before, a_retrain("c2"), 5)
    assert (result.status, result.epoch, is_new) == ("applied", 0, True)
    assert (log.state, log.last_offset) == (before.state, 5)


def test_a_retraining_needs_no_version() -> None:
    log, result, _ = decide(EMPTY_LOG, a_retrain("c1"), 0)
    assert (result.status, result.epoch, log.state) == ("applied", None, None)


def test_a_retraining_that_expects_another_epoch_is_rejected() -> None:
    before = after(a_swap("c1"))
    result = decide(before, a_retrain("c2", expected_epoch=99), 5).result
    assert result.error is not None
    assert result.error.code == "stale_epoch"


KINDS_SEEN: list[CommandType] = ["swap", "swap", "rollback", "retrain"]
COMMANDS = st.builds(
    lambda id_, kind, version: a_swap(id_, version) if kind == "swap" else KINDS[kind](id_, "anna"),
    st.sampled_from([f"c{number}" for number in range(12)]),
    st.sampled_from(KINDS_SEEN),
    st.sampled_from(["v0.1", "v0.2", "v0.3", "not a version"]),
)


@given(st.data(), st.lists(COMMANDS, min_size=1, max_size=20))
def test_a_stream_that_is_read_again_from_anywhere_has_the_effects_of_one_reading(
    data: st.DataObject, commands: list[Command]
) -> None:
    log, effects, states, offset = EMPTY_LOG, [], [], 0
    crashes = data.draw(st.lists(st.integers(0, len(commands) - 1), max_size=4))
    while offset < len(commands):
        log, result, is_new = decide(log, commands[offset], offset)
        states.append(log.state)
        if is_new:
            effects.append((offset, result.status))
        offset += 1
        if crashes and log.last_offset >= crashes[-1]:
            offset = min(offset, crashes.pop())

    once = [decide(after(*commands[:n]), command, n) for n, command in enumerate(commands)]
    assert log == once[-1].log
    assert effects == [(n, record.result.status) for n, record in enumerate(once) if record.is_new]
    epochs = [state.epoch if state else -1 for state in states]
    assert epochs == sorted(epochs)


def begin_era(command_id: str = "e1") -> Command:
    return BeginEra(command_id, "anna")


def test_a_log_takes_the_id_of_the_topic_that_it_first_follows() -> None:
    assert decide(EMPTY_LOG, a_swap("c1"), 0, topic_id="t1").log.topic_id == "t1"
    assert decide(EMPTY_LOG, a_swap("c1"), 0).log.topic_id is None
    older = after(a_swap("c1"))
    assert decide(older, a_swap("c2"), 1, topic_id="t1").log.topic_id == "t1"


@each_cell("command", [a_swap("c2", "v0.2"), a_retrain("c2"), a_swap("c1")])
@each_cell("offset", [0, 1, 9])  # also where the new topic has outgrown the old one
def test_on_a_foreign_topic_nothing_is_decided_nor_remembered(
    command: Command, offset: int
) -> None:
    log = decide(EMPTY_LOG, a_swap("c1"), 5, topic_id="t1").log
    refused = decide(log, command, offset, topic_id="t2")
    assert (refused.log, refused.is_new, refused.result.status) == (log, False, "rejected")
    assert refused.result.error is not None
    assert refused.result.error.code == "foreign_control_topic"
    assert "begin-era" in refused.result.error.message


def test_a_new_era_keeps_the_state_and_its_epochs_are_larger() -> None:
    log = decide(EMPTY_LOG, a_swap("c1"), 5, topic_id="t1").log
    era = decide(log, begin_era(), 2, topic_id="t2")
    assert (era.log.state, era.log.topic_id) == (log.state, "t2")
    assert (era.result.status, era.result.epoch) == ("applied", 5)
    assert era.result.after == log.state  # so that the trail of a new cluster has it
    again = decide(era.log, begin_era(), 2, topic_id="t2")
    assert (again.log, again.result.status, again.is_new) == (era.log, "applied", False)

    result = decide(era.log, a_swap("c2", "v0.2"), 3, topic_id="t2").result
    assert result.epoch == 2**40 + 3
    third = decide(era.log, begin_era("e2"), 0, topic_id="t3").log
    assert decide(third, a_swap("c3", "v0.3"), 1, topic_id="t3").result.epoch == 2**41 + 1


def test_commands_before_the_one_that_began_the_era_are_never_decided() -> None:
    log = decide(EMPTY_LOG, a_swap("c1"), 5, topic_id="t1").log
    era_log = decide(log, begin_era(), 2, topic_id="t2").log
    result = decide(era_log, a_swap("c2", "v0.2"), 1, topic_id="t2").result
    assert (result.status, result.error and result.error.code) == ("duplicate", "redelivered")


def test_an_era_is_not_begun_on_the_same_topic_nor_without_ids() -> None:
    log = decide(EMPTY_LOG, a_swap("c1"), 5, topic_id="t1").log
    for topic_id in ("t1", None):
        result = decide(log, begin_era(), 6, topic_id=topic_id).result
        assert (result.status, result.error and result.error.code) == (
            "rejected",
            "same_control_topic",
        )


def test_a_log_of_an_earlier_release_is_read_and_the_other_way_round() -> None:
    log = decide(EMPTY_LOG, a_swap("c1"), 5, topic_id="t1").log
    document = msgspec.json.decode(encode(log))
    old = {name: document[name] for name in ("last_offset", "state", "remembered")}
    assert from_document(ControlLog, old).topic_id is None
    assert from_document(ControlLog, document) == log
