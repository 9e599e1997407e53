"""The OpenAPI document says what the routes and types say. Its validity is checked beside
schemathesis, in `tests/integration/test_http.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from harness.builders import some_parts
from harness.cells import each_cell
from jsonschema_rs import Draft202012Validator

from streams.http.command_arguments import ARGUMENTS
from streams.http.endpoints import ENDPOINTS
from streams.http.openapi import document, encode_document
from streams.observers import build_observers
from streams.page_serving import build_pages

DOCUMENT = msgspec.json.decode(encode_document())
SCHEMAS = DOCUMENT["components"]["schemas"]


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, by_method in DOCUMENT["paths"].items():
        for method, operation in by_method.items():
            yield f"{method.upper()} {path}", operation


def test_every_route_is_in_it_and_nothing_else(tmp_path: Path) -> None:
    parts = some_parts(tmp_path)
    app = build_pages(parts, build_observers(parts)).application()
    routes = {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource
    }
    assert {name for name, _ in operations()} == {
        route for route in routes if not route.startswith("HEAD ")
    }


def test_it_is_the_same_each_time() -> None:
    assert msgspec.json.encode(document()) == encode_document()


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation["operationId"] for _, operation in operations()]
    assert len(set(names)) == len(names) == len(ENDPOINTS)


def test_every_reference_leads_somewhere() -> None:
    text = encode_document().decode()
    referenced = set(text.split('"$ref":"#/components/schemas/')[1:])
    assert {schema.partition('"')[0] for schema in referenced} <= set(SCHEMAS)


@each_cell("name", [name for name, schema in SCHEMAS.items() if "examples" in schema])
def test_every_example_is_valid(name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    for example in SCHEMAS[name]["examples"]:
        Draft202012Validator(schema).validate(example)


def test_every_argument_says_what_it_means() -> None:
    for fields in ARGUMENTS.values():
        properties = SCHEMAS[fields.__name__]["properties"]
        assert all(property_["description"] for property_ in properties.values())
    for name, operation in operations():
        assert all(parameter["description"] for parameter in operation["parameters"]), name


def test_a_write_has_every_status_and_a_security_scheme() -> None:
    writes = [operation for _, operation in operations() if operation["tags"] == ["writing"]]
    assert len(writes) == 10
    for write in writes:
        assert set(write["responses"]) == {
            "200", "202", "400", "401", "403", "408", "409", "413", "414", "415", "422", "431",
            "503",
        }  # fmt: skip
        assert write["security"] == [{}, {"token": []}, {"session": []}]


def test_every_refusal_is_a_problem() -> None:
    for name, operation in operations():
        for status, response in operation["responses"].items():
            if status[0] == "4":
                media = "application/problem+json"
                if status == "401" and name in ("GET /", "GET /try", "POST /login"):
                    media = "text/html"  # the form that asks for a token
                assert list(response["content"]) == [media], (name, status)


def test_a_ramp_is_described_and_nothing_may_be_added_to_it() -> None:
    assert SCHEMAS["Ramp"]["additionalProperties"] is False
    assert json.dumps(SCHEMAS["RolloutArguments"]["properties"]["ramp"]).count("Ramp") == 1
