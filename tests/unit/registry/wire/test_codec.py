"""Decoding: what is refused, with which reason, and what survives a round trip."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from harness.cells import each_cell
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET, Struct

from registry.errors import RecordError
from registry.wire.codec import decode, encode
from registry.wire.command_results import CommandResult
from registry.wire.commands import KINDS, Command, CommandType, Rollout
from registry.wire.field_types import AnswerError
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import BEGINNING
from registry.wire.ramp_values import Finding, InterleaveStep, ShadowStep
from registry.wire.requests import MAX_K, Request
from registry.wire.responses import Item, Provenance, Response
from registry.wire.rollout_state import RolloutState
from registry.wire.shadow_comparisons import ShadowComparison
from registry.wire.training_records.interactions import Interaction
from registry.wire.training_records.training_messages import TrainingRun
from tests.unit.registry.builders import (
    a_canary_state,
    a_command,
    a_heartbeat,
    a_plan,
    a_ramp,
    a_ramping_state,
    a_request,
    a_state,
    an_arm,
)


def refusal_of(payload: bytes | None, kind: type[Struct] = Request, **more: Any) -> RecordError:
    with pytest.raises(RecordError) as refused:
        decode(kind, payload, **more)
    return refused.value


def a_payload(**fields: str) -> bytes:
    given_fields = {"request_id": '"r1"', "user_id": "1"} | fields
    return ("{" + ",".join(f'"{name}":{raw}' for name, raw in given_fields.items()) + "}").encode()


@each_cell("payload", [None, b""])
def test_an_empty_record_is_refused_as_empty(payload: bytes | None) -> None:
    assert refusal_of(payload).code == "empty"


@each_cell(
    "payload",
    [
        b" ",
        b"nul",
        b"{",
        b"\x00\x01",
        b'{"request_id":"r1","user_id":1} x',
        b'{"request_id":"r1","user_id":"\xff"}',
        b'{"request_id":"r1","user_id":"\\ud800"}',
        b'{"request_id":"r1","user_id":1,"other":NaN}',
        b'{"request_id":"r1","user_id":1,"other":' + b"[" * 100_000,
    ],
    ids=lambda payload: repr(payload[:40]),
)
def test_what_is_not_json_in_utf8_is_refused_as_malformed(payload: bytes) -> None:
    assert refusal_of(payload).code == "malformed"


def test_a_record_of_a_megabyte_is_refused_with_both_sizes_and_not_parsed() -> None:
    refused = refusal_of(b"[" * 1_000_000, max_bytes=65_536)
    assert refused.code == "too_large"
    assert "1000000" in str(refused)
    assert "65536" in str(refused)
    assert decode(Request, a_payload(), max_bytes=len(a_payload())) == a_request()


@each_cell(
    ("payload", "field"),
    [
        (b"[]", "object"),
        (b"7", "object"),
        (b'{"user_id":1}', "request_id"),
        (b'{"request_id":"r1"}', "user_id"),
        (a_payload(request_id='""'), "request_id"),
        (a_payload(request_id='"' + "x" * 201 + '"'), "request_id"),
        (a_payload(request_id="5"), "request_id"),
        (a_payload(user_id="true"), "user_id"),
        (a_payload(user_id="null"), "user_id"),
        (a_payload(user_id="1.0"), "user_id"),
        (a_payload(user_id="[1]"), "user_id"),
        (a_payload(user_id="1" * 5_000), "user_id"),
        (a_payload(k="0"), "k"),
        (a_payload(k=str(MAX_K + 1)), "k"),
        (a_payload(k='"10"'), "k"),
        (a_payload(k="true"), "k"),
        (a_payload(k="10.5"), "k"),
        (a_payload(exclude_seen="1"), "exclude_seen"),
        (a_payload(exclude_items="[true]"), "exclude_items"),
        (a_payload(exclude_items="7"), "exclude_items"),
        (a_payload(deadline_ms="0"), "deadline_ms"),
        (a_payload(model_version="3"), "model_version"),
    ],
    ids=lambda value: repr(value[:50]),
)
def test_a_request_of_another_shape_is_refused_and_the_field_named(
    payload: bytes, field: str
) -> None:
    refused = refusal_of(payload)
    assert refused.code == "invalid"
    assert field in str(refused)


def test_unknown_fields_are_ignored_so_that_producers_can_add_some() -> None:
    assert decode(Request, a_payload(new='{"deep":[1,2]}')) == a_request()


def test_the_defaults_of_a_request_are_those_of_the_contract() -> None:
    request = decode(Request, a_payload())
    assert (request.k, request.exclude_seen, request.exclude_items) == (10, True, [])
    assert (request.model_version, request.deadline_ms) == (None, None)


@each_cell("raw", ["5", '"5"', "-1", "18446744073709551616", '"Zoë"'])
def test_an_id_keeps_its_json_type_there_and_back(raw: str) -> None:
    request = decode(Request, a_payload(user_id=raw))
    assert type(request.user_id) is (str if raw.startswith('"') else int)
    assert f'"user_id":{raw}'.encode() in encode(request)


def test_a_command_tells_absent_fields_from_given_ones() -> None:
    command = decode(
        Command, b'{"command_id":"c","type":"rollout","issued_by":"a","canary_percentage":0}'
    )
    assert command.canary_percentage == 0
    assert command.canary_version is UNSET
    assert b"canary_version" not in encode(command)


@each_cell(
    ("fields", "named"),
    [
        ('"type":"explode","issued_by":"a"', "type"),
        ('"type":"swap"', "issued_by"),
        ('"type":"swap","issued_by":""', "issued_by"),
        ('"type":"swap","issued_by":"a","model_version":null', "model_version"),
        ('"type":"rollout","issued_by":"a","canary_percentage":"10"', "canary_percentage"),
        ('"type":"rollout","issued_by":"a","canary_percentage":null', "canary_percentage"),
        ('"type":"rollout","issued_by":"a","expected_epoch":true', "expected_epoch"),
        ('"type":"rollout","issued_by":"a","ramp":{"steps":[5]}', "hold_seconds"),
        ('"type":"rollout","issued_by":"a","ramp":{"steps":[0],"hold_seconds":1}', "steps"),
        ('"type":"rollout","issued_by":"a","ramp":{"steps":[5],"hold_seconds":1,"x":1}', "x"),
        ('"type":"rollout","issued_by":"a","environments":[""]', "environments"),
        ('"type":"step","issued_by":"ramp","step":1.5', "step"),
        ('"type":"step","issued_by":"ramp","findings":[{"guardrail":"g"}]', "findings"),
        ('"type":"step","issued_by":"ramp","baseline":{"variant":"A"}', "baseline"),
        ('"type":"step","issued_by":"ramp"', "step"),
        ('"type":"retrain","issued_by":"a","factors":0', "factors"),
        ('"type":"retrain","issued_by":"a","alpha":0', "alpha"),
        ('"type":"retrain","issued_by":"a","deploy":"later"', "deploy"),
    ],
)
def test_a_command_of_another_shape_is_refused_and_the_field_named(fields: str, named: str) -> None:
    refused = refusal_of(f'{{"command_id":"c",{fields}}}'.encode(), Command)
    assert refused.code == "invalid"
    assert named in str(refused) or "explode" in str(refused)


def test_each_kind_of_command_has_a_type_with_its_name_on_the_wire() -> None:
    assert tuple(KINDS) == get_args(CommandType)
    for kind, type_ in KINDS.items():
        arguments = {"step": 1} if kind == "step" else {}
        command = a_command(kind, **arguments)
        assert (type(command), command.type) == (type_, kind)
        assert decode(Command, encode(command)) == command


@each_cell(
    ("kind", "name", "value"),
    [
        ("swap", "canary_version", "v0.2"),
        ("rollout", "model_version", "v0.2"),
        ("promote", "canary_percentage", 5),
        ("abort", "step", "not even a number"),
        ("rollback", "ramp_id", None),
        ("retrain", "ramp", {}),
    ],
)
def test_a_known_argument_of_another_kind_is_refused_and_an_unknown_field_is_ignored(
    kind: CommandType, name: str, value: object
) -> None:
    document = json.loads(encode(a_command(kind)))
    assert decode(Command, json.dumps(document | {"later": value}).encode()) == a_command(kind)
    refused = refusal_of(json.dumps(document | {name: value}).encode(), Command)
    assert refused.code == "invalid"
    assert f"{name}: not an argument of {kind}; known are command_id" in str(refused)


@each_cell(
    "fields",
    [
        '"event":"buy it"',
        '"event":"buy\\n"',
        '"event":"rate","value":"5"',
        '"event":"rate","timestamp":"today"',
        "",
    ],
)
def test_an_interaction_of_another_shape_is_refused(fields: str) -> None:
    payload = f'{{"user_id":1,"item_id":2{"," if fields else ""}{fields}}}'.encode()
    assert refusal_of(payload, Interaction).code == "invalid"


EVERY_KIND: list[Struct] = [
    a_request("anna", k=3, exclude_items=[1, "1"], deadline_ms=5),
    Response(
        "r1", 1, "ok", Provenance("production", "w1", 1.5), [Item("5", 0.5), Item(5, 0.5, "A")]
    ),
    Interaction(user_id=1, item_id="i", event="rate", value=4.5, timestamp=1e9, title="Title"),
    Rollout("c", "anna", canary_percentage=0.0),
    a_command(
        "rollout",
        ramp=a_plan(shadow=ShadowStep(5, 0.5), interleave=InterleaveStep(5)),
        environments=("production", "eu"),
    ),
    a_command(
        "step",
        step=2,
        findings=(Finding("error_rate", "fail", "20 %", {"canary": 0.2}),),
        baseline=an_arm("primary", "v0.1", scoring={-172: 5, 3: 1}),
    ),
    a_canary_state(),
    a_ramping_state(a_ramp(environments=("eu",), baseline=an_arm("primary", "v0.1"))),
    a_heartbeat(arms=(an_arm("canary", "v0.2", latency={-1: 2}),), failures={"v0.3": "why"}),
    ShadowComparison(
        "r1", "anna", "production", 7, "v0.1", "v0.2", 10, 0.5, 0.6, -0.1, 1.5, 2.5, "w1", BEGINNING
    ),
    CommandResult(
        "c",
        "swap",
        "production",
        "rejected",
        7,
        "anna",
        BEGINNING,
        AnswerError("x", "y"),
        a_state(),
    ),
    TrainingRun("run", "w1", "timer", BEGINNING, BEGINNING),
]


@each_cell("record", EVERY_KIND, ids=lambda record: type(record).__name__)
def test_every_record_survives_a_round_trip(record: Struct) -> None:
    assert decode(type(record), encode(record)) == record


@pytest.mark.parametrize(
    "kind", [Request, Interaction, Command, RolloutState, Response, Heartbeat, ShadowComparison]
)
@given(payload=st.binary(max_size=60))
@example(payload=b"[]")
def test_no_bytes_raise_anything_but_a_record_error(kind: type[Struct], payload: bytes) -> None:
    with pytest.raises(RecordError) as refused:
        decode(kind, payload)
    assert refused.value.code in ("empty", "malformed", "invalid")
