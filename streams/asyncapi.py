"""The AsyncAPI 3 document: topics and messages, from the types that the program itself uses.

Which message each topic carries: `streams.topic_channels`. The schemas are JSON Schema, made by
`msgspec` from the types of `registry.wire`. Workers serve it (``GET /asyncapi.json``), for their
own topics; `docs/reference/asyncapi.json` is this document for the default settings.
"""

from __future__ import annotations

import inspect
from importlib.metadata import metadata
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

import msgspec

from registry.error_codes import RecordCode
from registry.errors import RecordError
from registry.kafka.topics import Topic, topics_of
from registry.settings import Settings
from registry.wire.commands import ARGUMENTS, KINDS, AnyCommand, Command
from streams.delivery.dead_letters import dead_letter_record
from streams.topic_channels import CHANNELS, Channel, example_of, type_of

Json: TypeAlias = dict[str, Any]


def dead_letter_headers() -> list[str]:
    """Return the names of the headers that every dead letter has."""
    record = SimpleNamespace(
        topic="", partition=0, offset=0, timestamp=0, key=None, value=None, headers=()
    )
    letter = dead_letter_record("", record, RecordError("", RecordCode.INVALID), "")
    return [name for name, _ in letter.headers or []]


def schemas() -> Json:
    """Return the JSON Schemas of all messages and of what they hold, by name."""
    types: list[Any] = [
        type(channel.example) for channel in CHANNELS.values() if channel.example is not None
    ]
    template = "#/components/schemas/{name}"
    schemas, made = msgspec.json.schema_components([*types, AnyCommand], ref_template=template)
    for kind in KINDS.values():  # an argument of another kind is refused
        schema = made[kind.__name__]
        foreign = ARGUMENTS.difference(kind.__struct_fields__)
        schema["properties"] |= dict.fromkeys(sorted(foreign), False)
    command = {"title": "Command", "description": Command.__doc__ or "", **schemas[-1]}
    command.pop("discriminator")  # OpenAPI's form, which AsyncAPI does not have
    made["Command"] = command
    return {name: _cleaned(schema) for name, schema in made.items()}


def _cleaned(schema: Json) -> Json:
    """Return `schema` with its docstring as Python 3.13 has it: earlier ones keep the indent."""
    return schema | {"description": inspect.cleandoc(schema["description"]).replace("``", "`")}


def document(settings: Settings) -> Json:
    """Return the AsyncAPI document of the topics that `settings` name."""
    topics, project = topics_of(settings), metadata("recstream")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "recstream",
            "version": project["Version"],
            "description": f"{project['Summary']}. Actions are a worker's: it receives "
            "requests and sends responses.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"kafka": {"host": settings.kafka_bootstrap_servers, "protocol": "kafka"}},
        "channels": {
            name: _channel(getattr(topics, name), channel) for name, channel in CHANNELS.items()
        },
        "operations": {
            f"{channel.action}_{name}": _operation(name, channel)
            for name, channel in CHANNELS.items()
        },
        "components": {
            "messages": {channel.message: _message(channel) for channel in CHANNELS.values()},
            "schemas": schemas(),
        },
    }


class _Setting(NamedTuple):
    name: str
    value: str

    def document(self) -> Any:
        if self.name == "cleanup.policy":
            return [self.value]
        return int(self.value) if self.value.lstrip("-").isdecimal() else self.value


def _channel(topic: Topic, channel: Channel) -> Json:
    configs = {name: _Setting(name, value).document() for name, value in topic.configs.items()}
    kafka = {"partitions": topic.partitions, "topicConfiguration": configs}
    return {
        "address": topic.name,
        "description": f"{topic.what}; keyed by {channel.key}",
        "messages": {channel.message: {"$ref": f"#/components/messages/{channel.message}"}},
        "bindings": {"kafka": {**kafka, "bindingVersion": "0.5.0"}},
    }


def _operation(name: str, channel: Channel) -> Json:
    message = f"#/channels/{name}/messages/{channel.message}"
    return {
        "action": channel.action,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": message}],
    }


def _message(channel: Channel) -> Json:
    if channel.example is None:
        names = dead_letter_headers()
        headers = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
        return {
            "name": channel.message,
            "summary": "A record that could not be used, byte for byte.",
            "contentType": "application/octet-stream",
            "headers": {**headers, "required": names},
        }
    return {
        "name": channel.message,
        "summary": (type_of(channel.example).__doc__ or "").split("\n")[0],
        "payload": {"$ref": f"#/components/schemas/{channel.message}"},
        "examples": [{"name": "example", "payload": example_of(channel)}],
    }
