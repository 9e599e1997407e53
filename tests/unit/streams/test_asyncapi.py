"""The AsyncAPI document is one, and its schemas say what the decoders do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from harness.cells import each_cell
from jsonschema_rs import Draft202012Validator, meta

from registry.errors import RecordError
from registry.kafka.topics import Topics, topics_of
from registry.settings import read_settings
from registry.wire.codec import decode
from registry.wire.commands import Command
from registry.wire.requests import Request
from registry.wire.training_records.interactions import Interaction
from streams.asyncapi import document
from streams.topic_channels import CHANNELS


def one_of_each(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "minProperties": 1, "additionalProperties": schema}


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


TEXT = {"type": "string", "minLength": 1}
ANYTHING = {"type": "object"}
REFERENCE = closed(["$ref"], **{"$ref": {"type": "string", "pattern": "^#/"}})
MESSAGE = closed(
    ["name", "summary"],
    name=TEXT,
    summary=TEXT,
    contentType=TEXT,
    headers=ANYTHING,
    payload=REFERENCE,
    examples={"type": "array", "items": closed(["payload"], name=TEXT, payload=ANYTHING)},
)
ASYNCAPI = closed(
    ["asyncapi", "info", "channels", "operations"],
    asyncapi={"const": "3.0.0"},
    info=closed(
        ["title", "version"],
        title=TEXT,
        version=TEXT,
        description=TEXT,
        license=closed(["name"], name=TEXT),
    ),
    defaultContentType=TEXT,
    servers=one_of_each(closed(["host", "protocol"], host=TEXT, protocol={"const": "kafka"})),
    channels=one_of_each(
        closed(
            ["address", "messages"],
            address=TEXT,
            description=TEXT,
            messages=one_of_each(REFERENCE),
            bindings=closed(["kafka"], kafka=ANYTHING),
        )
    ),
    operations=one_of_each(
        closed(
            ["action", "channel"],
            action={"enum": ["send", "receive"]},
            channel=REFERENCE,
            messages={"type": "array", "items": REFERENCE},
        )
    ),
    components=closed(
        ["messages", "schemas"], messages=one_of_each(MESSAGE), schemas=one_of_each(ANYTHING)
    ),
)
"""The parts of the AsyncAPI 3.0 specification that the document uses, and no others."""


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document(read_settings({}))


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        yield from (reference for below in node.values() for reference in references(below))
    elif isinstance(node, list):
        yield from (reference for below in node for reference in references(below))


def validator(made: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator({**made, "$ref": f"#/components/schemas/{name}"})


def test_it_has_the_structure_of_the_specification(made: dict[str, Any]) -> None:
    assert [error.message for error in Draft202012Validator(ASYNCAPI).iter_errors(made)] == []


def test_every_reference_in_it_leads_somewhere(made: dict[str, Any]) -> None:
    for reference in references(made):
        node = made
        for part in reference.removeprefix("#/").split("/"):
            assert part in node, reference
            node = node[part]


def test_every_topic_has_a_channel_and_an_operation(made: dict[str, Any]) -> None:
    names = set(Topics.__slots__)

    assert set(CHANNELS) == set(made["channels"]) == names
    assert {operation["channel"]["$ref"] for operation in made["operations"].values()} == {
        f"#/channels/{name}" for name in names
    }
    assert {channel["address"] for channel in made["channels"].values()} == {
        topic.name for topic in topics_of(read_settings({}))
    }


def test_every_schema_is_a_json_schema(made: dict[str, Any]) -> None:
    meta.validate({"$defs": made["components"]["schemas"]})


def test_every_example_fits_its_schema(made: dict[str, Any]) -> None:
    shown = [
        (name, example["payload"])
        for name, message in made["components"]["messages"].items()
        for example in message.get("examples", [])
    ]

    assert len(shown) == len(CHANNELS) - 1  # a dead letter is any bytes
    for name, payload in shown:
        assert [error.message for error in validator(made, name).iter_errors(payload)] == []


@each_cell("name", [name for name, channel in CHANNELS.items() if channel.example])
def test_every_example_decodes_to_the_record_that_it_shows(made: dict[str, Any], name: str) -> None:
    example = CHANNELS[name].example
    (message,) = made["channels"][name]["messages"]
    (shown,) = made["components"]["messages"][message]["examples"]
    kind = Command if isinstance(example, Command) else type(example)

    assert decode(kind, json.dumps(shown["payload"]).encode()) == example


@each_cell(
    ("kind", "payload"),
    [
        (Request, {"request_id": "r", "user_id": "anna"}),
        (Request, {"request_id": "r", "user_id": 1, "k": 1000, "more": True}),
        (Request, {"request_id": "r", "user_id": 1, "k": 1001}),
        (Request, {"request_id": "", "user_id": 1}),
        (Request, {"request_id": "r", "user_id": 1.5}),
        (Request, {"user_id": 1}),
        (Request, {"request_id": "r", "user_id": 1, "deadline_ms": None}),
        (Request, {"request_id": "r", "user_id": 1, "deadline_ms": 0}),
        (Interaction, {"user_id": 1, "item_id": 2, "event": "rate"}),
        (Interaction, {"user_id": 1, "item_id": 2, "event": "buy"}),
        (Command, {"command_id": "c", "type": "swap", "issued_by": "me"}),
        (Command, {"command_id": "c", "type": "pause", "issued_by": "me"}),
        (Command, {"command_id": "c", "type": "retrain", "issued_by": "me", "factors": 0}),
        (Command, {"command_id": "c", "type": "explode", "issued_by": "me"}),
        (Command, {"command_id": "c", "type": "pause", "issued_by": "me", "later": 1}),
        (Command, {"command_id": "c", "type": "pause", "issued_by": "me", "step": 1}),
        (Command, {"command_id": "c", "type": "step", "issued_by": "ramp"}),
        (Command, {"command_id": "c", "type": "step", "issued_by": "ramp", "step": 1}),
    ],
)
def test_a_schema_accepts_exactly_what_the_decoder_accepts(
    made: dict[str, Any], kind: type[Any], payload: dict[str, Any]
) -> None:
    try:
        decode(kind, json.dumps(payload).encode())
        decodes = True
    except RecordError:
        decodes = False

    assert validator(made, kind.__name__).is_valid(payload) == decodes
