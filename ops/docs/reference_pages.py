"""The reference pages, written from the code: ``make docs``.

Knows what is said of settings, topics, messages, metrics, commands and errors. A test makes the
pages again and compares them with `docs/reference/`, so that they cannot go stale.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from ops import bench
from ops.cli import main as cli
from ops.docs import asyncapi, markdown
from ops.docs.markdown import ROOT
from registry.error_codes import KINDS
from registry.errors import RecstreamError
from registry.kafka.topics import topics_of
from registry.settings import Settings, read_settings
from registry.versions.manifest import manifest_schema
from streams.http import openapi
from streams.http.endpoints import ENDPOINTS, EVERYWHERE, WRITE_ANSWERS, Answered
from streams.metrics import Metrics

FOLDER: Final = ROOT / "docs" / "reference"
API: Final = ROOT / "docs" / "API_REFERENCE.md"
HEAD: Final = "<!-- Made from the code by `make docs`; do not edit. -->\n\n"


def pages() -> dict[str, str]:
    """Return the text of every generated file in `docs/reference/`, by its name."""
    made = {name: HEAD + page() for name, page in PAGES.items()}
    documents = {"asyncapi.json": asyncapi.document(), "manifest.schema.json": manifest_schema()}
    return made | {name: json.dumps(one, indent=2) + "\n" for name, one in documents.items()}


def write(folder: Path = FOLDER) -> None:
    """Write all of them, and the API reference."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, "utf-8")
    API.write_text(api(), "utf-8")


def settings() -> str:
    """Return the page of the environment variables."""
    schema = Settings.model_json_schema()["properties"]
    rows = []
    for field in Settings.model_fields.values():
        default = field.default
        shown = default.get_secret_value() if isinstance(default, SecretStr) else default
        known = "unset" if shown is None or shown == "" else f"`{shown}`"
        rows.append(
            (f"`{field.alias}`", field.description, markdown.allowed(schema[field.alias]), known)
        )
    return markdown.page(
        "Settings",
        "Environment variables, read once at the start (`registry/setting_groups/`). Empty ones "
        "count as unset. A wrong value stops the start with exit code 2 and names the variable, "
        "the value and what is allowed. `.env.example` lists the same; `recstream` reads no `.env` "
        "file by itself.",
        markdown.table(("variable", "what", "allowed", "default"), rows),
    )


def topics() -> str:
    """Return the page of the topics."""
    defaults = topics_of(read_settings({}))
    rows = []
    for name, channel in asyncapi.CHANNELS.items():
        topic = getattr(defaults, name)
        configs = ", ".join(f"`{key}={value}`" for key, value in topic.configs.items())
        who = "writes" if channel.action == "send" else "reads"
        rows.append(
            (f"`{topic.name}`", topic.partitions, channel.key, topic.what, f"{who} it", configs)
        )
    columns = ("topic", "partitions", "key", "what", "a worker", "configs")
    return markdown.page(
        "Topics",
        "With the default settings (`registry/kafka/topics.py`). `RECSTREAM_TOPIC_PREFIX` replaces "
        "`reco`, `RECSTREAM_PARTITIONS` the 8. `recstream topics create` makes those that are "
        "missing, `recstream topics check` compares the others, and a worker does not start on "
        "wrong ones. The messages are on [their own page](messages.md).",
        markdown.table(columns, rows),
        "Faust adds one compacted topic, `{prefix}-{environment}-rollout-changelog`, the rollout "
        "table's. Consumer groups: `{prefix}-{environment}` (the workers), "
        "`{prefix}-{environment}-training` (the training lock), `{prefix}-ingest-…` (how much of a "
        "file was sent) and `{prefix}-reader-…` (whoever only reads; never joined). "
        "`recstream topics acls` prints what each role needs of them.",
    )


def messages() -> str:
    """Return the page of the messages."""
    schemas = asyncapi.schemas()
    examples = {
        one.message: asyncapi.example_of(one)
        for one in asyncapi.CHANNELS.values()
        if one.example is not None
    }
    names = [*examples, *(name for name in schemas if name not in examples)]
    parts = [markdown.described(name, schemas[name], examples.get(name)) for name in names]
    headers = ", ".join(f"`{name}`" for name in asyncapi.dead_letter_headers())
    return markdown.page(
        "Messages",
        "JSON objects in UTF-8 (`registry/wire/`). Unknown fields are ignored; a missing or "
        "mistyped one makes the record a dead letter. Fields that have their default may be absent "
        "from what a worker sends. The same as [AsyncAPI 3](asyncapi.json), whose "
        "`components.schemas` are JSON Schema.",
        *parts,
        f"## Dead letter\n\nKey and value of the source record, byte for byte. Headers: {headers}. "
        "The reasons are on the [errors](errors.md) page.",
    )


def metrics() -> str:
    """Return the page of the metrics."""
    rows = []
    for collector in vars(Metrics()).values():
        if isinstance(collector, CollectorRegistry):
            continue
        (family,) = collector.collect()
        labels: Sequence[str] = getattr(family, "_labelnames", ()) or collector._labelnames
        name = f"{family.name}_total" if family.type == "counter" else family.name
        named = ", ".join(f"`{label}`" for label in labels)
        rows.append((f"`{name}`", family.type, named, family.documentation))
    return markdown.page(
        "Metrics",
        "Prometheus text at `GET /metrics` of each worker (`streams/metrics.py`). Times are in "
        "seconds. A metric with labels appears with its first value.",
        markdown.table(("metric", "type", "labels", "what"), rows),
    )


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command of the command line with its full name, such as ``rollout set``."""
    yield from _walk("", typer.main.get_command(cli.app))
    yield from _below("bench", typer.main.get_command(bench.app))


def command_line() -> str:
    """Return the page of the command line."""
    parts = [_command(name, command) for name, command in commands() if name]
    return markdown.page(
        "Command line",
        "`recstream --help`, and `--help` of each command, say the same. Exit codes: 0 done, "
        "1 refused or failed, 2 wrong usage or configuration, 130 interrupted. "
        "`recstream --install-completion` sets up the shell's completion.",
        *parts,
    )


def errors() -> str:
    """Return the page of the errors and codes."""
    rows = [
        (f"`{code}`", f"`{kind.__name__}`", what) for kind, what in KINDS.items() for code in kind
    ]
    return markdown.page(
        "Errors and codes",
        "What to do about each: [when something is wrong](../how-to/when-something-is-wrong.md). "
        "The branch of an error says what its catcher does (`registry/errors.py`).",
        "\n".join(_branch(RecstreamError, 0)),
        "## Codes\n\nStable; messages may change (`registry/error_codes.py`).",
        markdown.table(("code", "kind", "stands for"), rows),
    )


def api() -> str:
    """Return the page of the HTTP API: what the OpenAPI document says, for people."""
    schemas = openapi.document()["components"]["schemas"]
    reads = [one for one in ENDPOINTS if one.kind is None and one.method == "GET"]
    logins = [one for one in ENDPOINTS if one.kind is None and one.method == "POST"]
    writes = [one for one in ENDPOINTS if one.kind is not None]
    history = next(one.query for one in ENDPOINTS if one.name == "history")
    assert history is not None
    filters = openapi.parameters_of(history)
    elsewhere = asyncapi.schemas()
    arguments = [name for name in schemas if name.endswith("Arguments")]
    common = schemas["PromoteArguments"]["properties"]
    named = [
        (f"`{one.method} {one.path}`", f"`{one.kind}`", one.summary, _names(schemas, one.kind))
        for one in writes
    ]
    fields = {name: told for one in arguments for name, told in schemas[one]["properties"].items()}
    own = [name for name in schemas if name not in elsewhere and name not in arguments]
    page = markdown.page(
        "HTTP API",
        API_WORDS["intro"],
        "## Reading",
        markdown.table(
            ("endpoint", "what", "answers"),
            [(f"`{one.method} {one.path}`", one.summary, _answers(one.answers)) for one in reads],
        ),
        "## The history\n\nRead from Kafka by any worker; filters are query parameters:",
        markdown.table(("parameter", "allowed", "what"), _rows(filters)),
        "## Writing",
        markdown.table(("endpoint", "command", "what", "arguments"), named),
        f"Each takes these as well: {', '.join(f'`{name}`' for name in common)}.",
        API_WORDS["fields"],
        markdown.table(("argument", "allowed", "what"), _rows(fields)),
        "## Answers to a write",
        markdown.table(
            ("status", "when", "body"),
            [(one.status, one.when, _content(one)) for one in (*WRITE_ANSWERS, *EVERYWHERE)],
        ),
        API_WORDS["writers"],
        "## Logging in",
        markdown.table(
            ("endpoint", "what", "answers"),
            [(f"`{one.method} {one.path}`", one.summary, _answers(one.answers)) for one in logins],
        ),
        "## Documents",
        *(markdown.described(name, schemas[name]).replace("## ", "### ", 1) for name in own),
    )
    here = {markdown.anchor(name) for name in own}
    return HEAD + re.sub(
        r"\]\(#(\w+)\)",
        lambda link: link[0] if link[1] in here else f"](reference/messages.md#{link[1]})",
        page,
    )


def _names(schemas: Mapping[str, Any], kind: str | None) -> str:
    own = schemas[f"{str(kind).title()}Arguments"]["properties"]
    common = schemas["PromoteArguments"]["properties"]
    return ", ".join(f"`{name}`" for name in own if name not in common)


def _rows(schemas: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Say what each argument may be; of its form, its meaning gives an example."""
    plain = {name: {**told, "pattern": None} for name, told in schemas.items()}
    return [
        (f"`{name}`", markdown.allowed(told), told["description"]) for name, told in plain.items()
    ]


def _answers(answers: Iterable[Answered]) -> str:
    return "; ".join(
        f"{one.status} {one.when}" + (f": {_content(one)}" if one.content else "")
        for one in answers
    )


def _content(answer: Answered) -> str:
    """Say what the body is, with a link to its description."""
    ((media, content),) = openapi.content_of(answer.content).items()
    return markdown.allowed(content["schema"]) if "json" in media else f"`{media}`"


API_WORDS: Final = {
    "intro": "Each worker serves it on `RECSTREAM_HTTP_HOST:RECSTREAM_HTTP_PORT` (loopback, 6066), "
    "and its description for machines at `GET /openapi.json` (OpenAPI 3.1). All workers of a fleet "
    "tell the same rollout state; traces, lag and resident versions are a worker's own. HEAD is "
    "answered wherever GET is, but for `/switch`, which would write. Every refusal is "
    "`application/problem+json` (RFC 9457) with a stable `code`: [errors](reference/errors.md). "
    "What is not HTTP at all is refused with 400 and text.",
    "fields": "Arguments come as query parameters, as a form or as a JSON object; the body goes "
    "before the query. Only the fields given change. A form's empty field counts as not given. "
    "What is unknown, given twice, or no finite number is refused, and nothing has changed.\n\n"
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
    "After 202, and after 503 where Kafka had not confirmed, the command may still be applied: the "
    "history has it, and sending it again with the same `command_id` applies it once.\n\n"
    "**Who may write.** With `RECSTREAM_API_TOKEN` set: whoever sends `Authorization: Bearer` and "
    "the token, from anywhere. Without: by POST, callers on loopback only, no proxy (`Forwarded`, "
    "`Via`, `X-Real-IP`, `X-Forwarded-*`, HTTP/1.0), a `Host` of `127.0.0.0/8`, `[::1]` or "
    "`localhost`, and no browser that acts for another site (`Sec-Fetch-Site`, `Origin`).\n\n"
    "**Who may read.** Whoever reaches the port; with `RECSTREAM_READ_TOKEN` set, whoever sends it "
    "or the other token. `/healthz` and `/readyz` stay open, and say less. Browsers log in on the "
    "page. More: [security](explanation/security.md).",
}
"""What no table can say."""

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings,
    "topics.md": topics,
    "messages.md": messages,
    "metrics.md": metrics,
    "cli.md": command_line,
    "errors.md": errors,
}


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    yield from _below(name, command)


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    for word, below in getattr(command, "commands", {}).items():
        yield from _walk(f"{name} {word}".strip(), below)


def _command(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=f"recstream {name}")
    records = [
        (one.param_type_name, *one.get_help_record(context))
        for one in command.params
        if one.name not in ("help", "install_completion", "show_completion")
    ]
    arguments = [words.split()[0].upper() for kind, words, _ in records if kind == "argument"]
    usage = " ".join([f"recstream {name}", *arguments])
    told, _, examples = inspect.cleandoc(command.help or "").partition("Examples\n--------\n")
    parts = [f"## {usage}", told.strip()]
    if examples:
        parts.append(f"```sh\n{inspect.cleandoc(examples)}\n```")
    if records:
        rows = [(f"`{words}`", what) for _, words, what in records]
        parts.append(markdown.table(("option", "what"), rows))
    return "\n\n".join(parts)


def _branch(error: type[RecstreamError], depth: int) -> Iterator[str]:
    told = (error.__doc__ or "").split("\n")[0].replace("``", "`")
    code = error.__dict__.get("code")
    named = f"`{code}`" if code else "code given where it is raised"
    yield f"{'  ' * depth}- `{error.__name__}` ({named}): {told}"
    for below in error.__subclasses__():
        if below.__module__ == error.__module__:
            yield from _branch(below, depth + 1)


if __name__ == "__main__":
    write()
