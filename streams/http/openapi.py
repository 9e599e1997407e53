"""The OpenAPI 3.1 document of the HTTP API, generated from the endpoints and their types.

Pure, and the same on every worker of a release: no setting and no state is part of it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, Final, TypeAlias

import msgspec

from registry.wire.instants import write_instant
from streams.http.command_arguments import ARGUMENTS, NESTED
from streams.http.endpoints import (
    ENDPOINTS,
    EVENTS,
    EVERYWHERE,
    FORM,
    HTML,
    JSON,
    METRICS,
    READ_ANSWERS,
    Answered,
    Endpoint,
)
from streams.http.openapi_words import ALLOWED, EXAMPLES, IN_PATH, MEANINGS
from streams.http.problems import MEDIA_TYPE, Problem

Json: TypeAlias = dict[str, Any]

REF: Final = "#/components/schemas/{name}"
TOKEN: Final = "token"
SESSION: Final = "session"


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
        content = {JSON: {"schema": schema}}
        operation["requestBody"] = {"required": True, "content": content}
    if endpoint.kind is not None and endpoint.method == "POST":
        arguments = ARGUMENTS[endpoint.kind].__name__
        operation["requestBody"] = {
            "description": "Its fields take precedence over those of the query.",
            "required": False,
            "content": {
                JSON: {"schema": {"$ref": REF.format(name=arguments)}},
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
    for name in re.findall(r"{(\w+)}", endpoint.path):
        yield {"name": name, "in": "path", "required": True, **IN_PATH[name]}


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
    media = MEDIA_TYPE if content is Problem else JSON
    return {media: {"schema": schema}}
