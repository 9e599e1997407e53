"""The OpenAPI 3.1 document of the HTTP API, generated from the endpoints and their types.

Pure, and the same on every worker of a release: no setting and no state is part of it.
Long because it holds what the types do not say: the meaning of each parameter, and examples.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from datetime import UTC
from functools import cache
from importlib.metadata import version
from typing import Any, Final, TypeAlias, get_args

import msgspec

from registry.wire.command_results import ResultType
from registry.wire.field_types import ID_CHARACTERS, Bucketing, Strategy
from registry.wire.instants import Instant, write_instant
from registry.wire.rollout_state import RolloutState
from streams.http.command_arguments import ARGUMENTS, NESTED
from streams.http.documents import Decided, Pending
from streams.http.endpoints import (
    ENDPOINTS,
    EVENTS,
    EVERYWHERE,
    FORM,
    HTML,
    METRICS,
    READ_ANSWERS,
    Answered,
    Endpoint,
)
from streams.http.problems import MEDIA_TYPE, Problem

Json: TypeAlias = dict[str, Any]

REF: Final = "#/components/schemas/{name}"
TOKEN: Final = "token"
SESSION: Final = "session"
_VERSION: Final = {"pattern": r"^v(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,8})$"}
_TYPES: Final = "|".join(get_args(ResultType))
_PERCENTAGE: Final = {"minimum": 0, "maximum": 100}

ALLOWED: Final[Mapping[str, Json]] = {
    "model": _VERSION,
    "version": _VERSION,
    "model_version": _VERSION,
    "canary_version": _VERSION,
    "strategy": {"enum": list(get_args(Strategy))},
    "bucketing": {"enum": list(get_args(Bucketing))},
    "canary_percentage": _PERCENTAGE,
    "shadow_sample_percentage": _PERCENTAGE,
    "since": {"format": "date-time"},
    "until": {"format": "date-time"},
    "type": {"pattern": f"^({_TYPES})(,({_TYPES}))*$"},
}
"""What the rules allow beyond the type of an argument. Other values are accepted as
commands, too: the control agent rejects them, and the audit trail shows it."""

MEANINGS: Final[Mapping[str, str]] = {
    "model": "The version that becomes primary, like `v0.4`.",
    "version": "The same as `model`; give one of them.",
    "model_version": "The same as `model`; give one of them.",
    "strategy": "Which version answers which users.",
    "canary_version": "The version on trial, like `v0.4`.",
    "canary_percentage": "Percentage of users that get the canary version.",
    "shadow_sample_percentage": "Percentage of users whose requests are compared under `shadow`.",
    "bucketing": "`modulo`: `user_id % 100`, whole percentages. `hash`: any id, 0.01 % steps.",
    "salt": "Makes hash rollouts select different users; may be empty.",
    "ramp": "The plan of an automatic ramp. In a query or form: as JSON text.",
    "environments": "Environments that the ramp passes through, this one first. In a query or "
    "form: as JSON text.",
    "fit": "Of a ramp that gets too few requests for its verdicts: `false` (the default) rejects "
    "it (409), `true` stretches its holds, `null` starts it as it is.",
    "factors": "Columns of the factors.",
    "iterations": "Sweeps of the training.",
    "regularization": "Weight of the L2 term.",
    "alpha": "Confidence of an interaction is alpha × its weight.",
    "deploy": "How a version that passes its gate is deployed.",
    "command_id": "Makes retries safe: an id is applied once. Generated if absent.",
    "issued_by": "Who issues the command, for the audit trail.",
    "environment": "Must be the worker's own, if given.",
    "expected_epoch": "Rejects the command (409) unless the state has this epoch; -1: no state "
    "yet.",
    "reason": "The reason; kept in the audit trail.",
    "k": "How many items.",
    "exclude_seen": "Leave out what the user has seen.",
    "deadline_ms": "How long to wait for the answer, in milliseconds.",
    "string_id": "Take the user's id as a text, even if it is all digits.",
    "user_id": "A user's id; a whole number, like 42 or -5, is an integer.",
    "RecommendQuery.model_version": "Get the answer from this version, for debugging.",
    "limit": "Maximum number of results, the newest.",
    "since": "From this time on: ISO 8601, like `2026-01-05T12:00:00Z`.",
    "until": "Before this time, in the same way.",
    "type": "Types of command, comma separated, like `swap,rollout`.",
}

_STATE: Final = RolloutState(
    environment="production",
    epoch=18,
    strategy="canary",
    primary_version="v0.3",
    canary_version="v0.4",
    canary_percentage=10.0,
    updated_at=Instant(2026, 11, 23, 12, tzinfo=UTC),
    updated_by="http:127.0.0.1",
)
_STALE: Final = "expected_epoch 17: the epoch is now 18 (…); read the state and decide again"
EXAMPLES: Final[Mapping[str, Any]] = {
    "RolloutArguments": {
        "canary_version": "v0.4",
        "ramp": {"steps": [1, 5, 25, 50, 100], "hold_seconds": 600},
        "reason": "fixes the cold start",
        "expected_epoch": 17,
    },
    "SwapArguments": {"model": "v0.4", "expected_epoch": 17},
    "RetrainArguments": {"factors": 64, "deploy": "canary"},
    "Decided": Decided("applied", "3f0c", 18, _STATE),
    "Pending": Pending("pending", "3f0c"),
    "Problem": Problem("about:blank", "Conflict", 409, "stale_epoch", _STALE, "3f0c"),
}
"""By schema; as they go over the wire."""


@cache
def encode_document() -> bytes:
    """Return the document as JSON."""
    return msgspec.json.encode(document())


def document() -> Json:
    """Return the OpenAPI document."""
    made = _components()
    paths: dict[str, Json] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, made)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "recstream",
            "version": version("recstream"),
            "description": "Served by each worker. All workers of a fleet report the same rollout "
            "state, and any of them accepts a write. HEAD works wherever GET does, except for "
            "`/switch`, which would write.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "."}],
        "tags": [
            {
                "name": "reading",
                "description": "Open to anyone who can reach the port, or, with "
                "`RECSTREAM_READ_TOKEN` set, to callers that send it or `RECSTREAM_API_TOKEN`.",
            },
            {
                "name": "asking",
                "description": "For applications without Kafka; open as reading is, but not to "
                "pages of other sites.",
            },
            {
                "name": "writing",
                "description": "Commands for the control topic. With `RECSTREAM_API_TOKEN` set: "
                "for callers that send it, from anywhere. Without: by POST from loopback only.",
            },
            {"name": "login", "description": "For browsers, which cannot send a token."},
        ],
        "paths": paths,
        "components": {
            "schemas": made,
            "securitySchemes": {
                TOKEN: {"type": "http", "scheme": "bearer"},
                SESSION: {"type": "apiKey", "in": "cookie", "name": "recstream-session"},
            },
        },
    }


def _components() -> dict[str, Json]:
    """Return the schemas of all requests, responses and forms, by name."""
    types = [answer.content for endpoint in ENDPOINTS for answer in endpoint.answers]
    types = [content for content in types if content is not None and not isinstance(content, str)]
    forms = [form for endpoint in ENDPOINTS for form in (endpoint.form, endpoint.body) if form]
    wanted = [*types, *forms, *ARGUMENTS.values()]
    made = msgspec.json.schema_components(wanted, ref_template=REF)[1]
    schemas = {name: _clean(name, schema) for name, schema in made.items()}
    for arguments in ARGUMENTS.values():
        schema = schemas[arguments.__name__]
        for name, field in schema["properties"].items():
            schema["properties"][name] = _describe(name, field)
    return dict(sorted(schemas.items()))


def _clean(name: str, schema: Json) -> Json:
    """Return `schema` with its docstring as Python 3.13 has it: earlier ones keep the indent."""
    if "description" in schema:
        text = inspect.cleandoc(schema["description"]).replace("``", "`")
        schema = schema | {"description": text}
    if name in EXAMPLES:
        schema = schema | {
            "examples": [msgspec.to_builtins(EXAMPLES[name], enc_hook=write_instant)]
        }
    return schema


def _describe(name: str, schema: Json, owner: str = "") -> Json:
    meaning = MEANINGS.get(f"{owner}.{name}") or MEANINGS[name]
    return schema | ALLOWED.get(name, {}) | {"description": meaning}


def _operation(endpoint: Endpoint, made: Mapping[str, Json]) -> Json:
    answers = sorted(answers_of(endpoint), key=lambda answer: answer.status)
    operation: Json = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [tag_of(endpoint)],
        "parameters": [*_in_path(endpoint), *_in_query(endpoint, made)],
        "responses": {str(answer.status): _response(answer) for answer in answers},
    }
    if endpoint.access != "open":
        operation["security"] = [{}, {TOKEN: []}, {SESSION: []}]
    if endpoint.form is not None:
        schema = {"$ref": REF.format(name=endpoint.form.__name__)}
        operation["requestBody"] = {"required": True, "content": {FORM: {"schema": schema}}}
    if endpoint.body is not None:
        schema = {"$ref": REF.format(name=endpoint.body.__name__)}
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": True, "content": content}
    if endpoint.kind is not None and endpoint.method == "POST":
        arguments = ARGUMENTS[endpoint.kind].__name__
        operation["requestBody"] = {
            "description": "Its fields take precedence over those of the query.",
            "required": False,
            "content": {
                "application/json": {"schema": {"$ref": REF.format(name=arguments)}},
                FORM: {"schema": _form(made[arguments])},
            },
        }
    return operation


def tag_of(endpoint: Endpoint) -> str:
    """Return the group of an endpoint in the documents."""
    if endpoint.access == "open" and endpoint.method == "POST":
        return "login"
    return {"open": "reading", "read": "reading", "ask": "asking", "write": "writing"}[
        endpoint.access
    ]


def answers_of(endpoint: Endpoint) -> Iterable[Answered]:
    """Return all the answers of an endpoint, its own first."""
    own = [answer.status for answer in endpoint.answers]
    common = (*(READ_ANSWERS if endpoint.access == "read" else ()), *EVERYWHERE)
    return (*endpoint.answers, *(answer for answer in common if answer.status not in own))


def _in_path(endpoint: Endpoint) -> Iterable[Json]:
    if "{version}" in endpoint.path:
        yield {
            "name": "version",
            "in": "path",
            "required": True,
            "description": "Like v0.4.",
            "schema": {"type": "string", "minLength": 1},
        }
    if "{user_id}" in endpoint.path:
        yield {
            "name": "user_id",
            "in": "path",
            "required": True,
            "description": "A user's id; a whole number, like 42 or -5, is an integer. May hold "
            "slashes.",
            "schema": {"type": "string", "minLength": 1, "maxLength": ID_CHARACTERS},
        }
    if "{request_id}" in endpoint.path:
        yield {
            "name": "request_id",
            "in": "path",
            "required": True,
            "description": "Of the request; may hold slashes.",
            "schema": {"type": "string", "minLength": 1},
        }


def _in_query(endpoint: Endpoint, made: Mapping[str, Json]) -> Iterable[Json]:
    needed: frozenset[str] = frozenset()
    if endpoint.query is not None:
        properties = parameters_of(endpoint.query)
        fields = msgspec.structs.fields(endpoint.query)
        needed = frozenset(field.name for field in fields if field.required)
    elif endpoint.kind is not None:
        properties = _form(made[ARGUMENTS[endpoint.kind].__name__])["properties"]
    else:
        return
    for name, schema in properties.items():
        bare = {word: value for word, value in schema.items() if word != "description"}
        yield {
            "name": name,
            "in": "query",
            "required": name in needed,
            "description": schema.get("description") or MEANINGS[name],
            "schema": bare,
        }


def parameters_of(query: type[msgspec.Struct]) -> Json:
    """Return the schema of each parameter of a reading endpoint, by name."""
    made = msgspec.json.schema_components([query], ref_template=REF)[1]
    properties = made[query.__name__]["properties"]
    return {name: _describe(name, schema, query.__name__) for name, schema in properties.items()}


def _form(schema: Json) -> Json:
    """Return the flat arguments alone: what a query or a form holds."""
    flat = {name: field for name, field in schema["properties"].items() if name not in NESTED}
    return {"type": "object", "properties": flat, "additionalProperties": False}


def _response(answer: Answered) -> Json:
    if answer.content is None:
        return {"description": answer.when}
    return {"description": answer.when, "content": content_of(answer.content)}


@cache
def content_of(content: Any) -> Json:
    """Return the schema of a body by its media type."""
    if content in (HTML, METRICS, EVENTS):
        return {content: {"schema": {"type": "string"}}}
    (schema,), _ = msgspec.json.schema_components([content], ref_template=REF)
    media = MEDIA_TYPE if content is Problem else "application/json"
    return {media: {"schema": schema}}
