"""The reference page of the HTTP API: the OpenAPI document as tables and text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ops.docs import markdown
from registry.wire.commands import CommandType
from streams import asyncapi
from streams.http import openapi
from streams.http.command_arguments import ARGUMENTS
from streams.http.endpoint_arguments import RecommendQuery
from streams.http.endpoints import (
    ENDPOINTS,
    EVERYWHERE,
    WRITE_ANSWERS,
    Answered,
    Endpoint,
)


def api() -> str:
    """Return the page of the HTTP API, made from the OpenAPI document."""
    schemas = openapi.document()["components"]["schemas"]
    by_tag: dict[str, list[Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_tag.setdefault(openapi.tag_of(endpoint), []).append(endpoint)
    history = next(endpoint.query for endpoint in ENDPOINTS if endpoint.name == "history")
    assert history is not None
    filters = openapi.parameters_of(history)
    elsewhere = asyncapi.schemas()
    arguments = [name for name in schemas if name.endswith("Arguments")]
    common = schemas["PromoteArguments"]["properties"]
    named = [
        (
            f"`{endpoint.method} {endpoint.path}`",
            f"`{endpoint.kind}`",
            endpoint.summary,
            _names(schemas, endpoint.kind),
        )
        for endpoint in by_tag["writing"]
        if endpoint.kind is not None
    ]
    fields = {
        name: schema for kind in arguments for name, schema in schemas[kind]["properties"].items()
    }
    own = [name for name in schemas if name not in elsewhere and name not in arguments]
    page = markdown.page(
        "HTTP API",
        API_WORDS["intro"],
        "## Reading",
        markdown.table(
            ("endpoint", "what", "answers"),
            _listed(by_tag["reading"]),
        ),
        "## Recommendations",
        markdown.table(
            ("endpoint", "what", "answers"),
            _listed(by_tag["asking"]),
        ),
        "`GET` takes these in its query; `POST` takes a JSON object like a "
        "[request](#recommendbody). What it costs beside the topic's way: "
        "[call it from your application](how-to/call-it-from-your-application.md).",
        markdown.table(
            ("parameter", "allowed", "what"), _rows(openapi.parameters_of(RecommendQuery))
        ),
        "## The history\n\nRead from Kafka by any worker; filters are query parameters:",
        markdown.table(("parameter", "allowed", "what"), _rows(filters)),
        "## Writing",
        markdown.table(("endpoint", "command", "what", "arguments"), named),
        f"All of them also take: {', '.join(f'`{name}`' for name in common)}.",
        API_WORDS["fields"],
        markdown.table(("argument", "allowed", "what"), _rows(fields)),
        "## Answers to a write",
        markdown.table(
            ("status", "when", "body"),
            [
                (answer.status, answer.when, _content(answer))
                for answer in (*WRITE_ANSWERS, *EVERYWHERE)
            ],
        ),
        API_WORDS["writers"],
        "## Logging in",
        markdown.table(
            ("endpoint", "what", "answers"),
            _listed(by_tag["login"]),
        ),
        "## Documents",
        *(markdown.described(name, schemas[name]).replace("## ", "### ", 1) for name in own),
    )
    here = {markdown.anchor(name) for name in own}
    return re.sub(
        r"\]\(#(\w+)\)",
        lambda link: link[0] if link[1] in here else f"](reference/messages.md#{link[1]})",
        page,
    )


def _names(schemas: Mapping[str, Any], kind: CommandType) -> str:
    own = schemas[ARGUMENTS[kind].__name__]["properties"]
    common = schemas["PromoteArguments"]["properties"]
    return ", ".join(f"`{name}`" for name in own if name not in common)


def _rows(schemas: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Say what each argument may be; of its form, its meaning gives an example."""
    plain = {name: {**schema, "pattern": None} for name, schema in schemas.items()}
    return [
        (f"`{name}`", markdown.allowed(schema), schema["description"])
        for name, schema in plain.items()
    ]


def _listed(endpoints: Iterable[Endpoint]) -> list[tuple[str, str, str]]:
    return [
        (
            f"`{endpoint.method} {endpoint.path}`",
            endpoint.summary,
            _answers(endpoint.answers),
        )
        for endpoint in endpoints
    ]


def _answers(answers: Iterable[Answered]) -> str:
    return "; ".join(
        f"{answer.status} {answer.when}" + (f": {_content(answer)}" if answer.content else "")
        for answer in answers
    )


def _content(answer: Answered) -> str:
    """Say what the body is, with a link to its description."""
    ((media, content),) = openapi.content_of(answer.content).items()
    return markdown.allowed(content["schema"]) if "json" in media else f"`{media}`"


API_WORDS: Final = {
    "intro": "Each worker serves it on `RECSTREAM_HTTP_HOST:RECSTREAM_HTTP_PORT` (loopback, 6066), "
    "and its machine-readable description at `GET /openapi.json` (OpenAPI 3.1). All workers of a "
    "fleet report the same rollout state; traces, lag and resident versions are those of one "
    "worker. HEAD works wherever GET does, except for `/switch` and `/recommend`, which would "
    "send. Every refusal is "
    "`application/problem+json` (RFC 9457) with a stable `code`: [errors](reference/errors.md). "
    "Anything that is not HTTP is refused with 400 and text.",
    "fields": "Arguments come as query parameters, as a form or as a JSON object; the body takes "
    "precedence over the query. Only the fields given change. An empty form field counts as not "
    "given. Fields that are unknown, given twice or not finite numbers are refused, and nothing "
    "changes.\n\n"
    "```sh\n"
    "curl -X POST 'http://127.0.0.1:6066/rollout/update"
    "?strategy=canary&canary_version=v0.4&canary_percentage=10'\n"
    "curl -X POST 'http://127.0.0.1:6066/rollout/update?canary_percentage=25&expected_epoch=18'\n"
    "curl -X POST http://127.0.0.1:6066/rollout/update -H 'Content-Type: application/json' \\\n"
    '  -d \'{"canary_version": "v0.4", "ramp": {"steps": [1, 5, 25, 50, 100], '
    '"hold_seconds": 600}}\'\n'
    "curl -X POST 'http://127.0.0.1:6066/switch?model=v0.4'\n"
    "```\n\n"
    "The worker produces the command to the control topic and waits for its result, whichever "
    "worker decides it.",
    "writers": "For `retrain`, 200 means that the run has started; follow it at `GET /training`. "
    "After 202, and after 503 without Kafka's confirmation, the command may still be applied: the "
    "history shows it, and sending it again with the same `command_id` applies it once.\n\n"
    "**Who may write.** With `RECSTREAM_API_TOKEN` set: callers that send `Authorization: Bearer "
    "TOKEN`, from anywhere. Without it: POST only, from loopback only, no proxy (`Forwarded`, "
    "`Via`, `X-Real-IP`, `X-Forwarded-*`, HTTP/1.0), a `Host` of `127.0.0.0/8`, `[::1]` or "
    "`localhost`, and no browser on another site's page (`Sec-Fetch-Site`, `Origin`).\n\n"
    "**Who may read.** Whoever reaches the port; with `RECSTREAM_READ_TOKEN` set, callers that "
    "send it or the other token. `/healthz` and `/readyz` stay open, with fewer details. Browsers "
    "log in on the "
    "page. More: [security](explanation/security.md).",
}
"""What no table can say."""
