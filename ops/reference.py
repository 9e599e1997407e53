"""The reference pages, written from the code: ``make docs``, or ``python -m ops.reference``.

Knows how settings, topics, messages, metrics, commands and errors are shown as Markdown. A test
makes the pages again and compares them with `docs/reference/`, so that they cannot go stale.
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

from ops import asyncapi, bench, cli
from ops.codes import ROOT, codes
from registry.errors import RecstreamError
from registry.manifest import manifest_schema
from registry.settings import Settings, read_settings
from registry.topics import topics_of
from streams import openapi
from streams.answering import UNKNOWN_USER
from streams.endpoints import ENDPOINTS, EVERYWHERE, WRITE_ANSWERS, Answered
from streams.metrics import Metrics
from streams.routing import LEASE_LAPSED, NOT_READY

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
        rows.append((f"`{field.alias}`", field.description, _allowed(schema[field.alias]), known))
    return _page(
        "Settings",
        "Environment variables, read once at the start (`registry/settings.py`). Empty ones "
        "count as unset. A wrong value stops the start with exit code 2 and names the variable, "
        "the value and what is allowed. `.env.example` lists the same; `recstream` reads no `.env` "
        "file by itself.",
        _table(("variable", "what", "allowed", "default"), rows),
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
    return _page(
        "Topics",
        "With the default settings (`registry/topics.py`). `RECSTREAM_TOPIC_PREFIX` replaces "
        "`reco`, `RECSTREAM_PARTITIONS` the 8. `recstream topics create` makes those that are "
        "missing, `recstream topics check` compares the others, and a worker does not start on "
        "wrong ones. The messages are on [their own page](messages.md).",
        _table(columns, rows),
        "Faust adds one compacted topic, `{prefix}-{environment}-rollout-changelog`, the rollout "
        "table's. Consumer groups: `{prefix}-{environment}` (the workers) and "
        "`{prefix}-{environment}-training` (the training lock).",
    )


def messages() -> str:
    """Return the page of the messages."""
    schemas = asyncapi.schemas()
    channels = {type(one.example).__name__: one for one in asyncapi.CHANNELS.values()}
    names = [name for name in channels if name in schemas]
    names += [name for name in schemas if name not in channels]
    parts = [_message(name, schemas[name], channels.get(name)) for name in names]
    headers = ", ".join(f"`{name}`" for name in asyncapi.dead_letter_headers())
    return _page(
        "Messages",
        "JSON objects in UTF-8 (`registry/records.py`). Unknown fields are ignored; a missing or "
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
    return _page(
        "Metrics",
        "Prometheus text at `GET /metrics` of each worker (`streams/metrics.py`). Times are in "
        "seconds. A metric with labels appears with its first value.",
        _table(("metric", "type", "labels", "what"), rows),
    )


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command of the command line with its full name, such as ``rollout set``."""
    yield from _walk("", typer.main.get_command(cli.app))
    yield from _below("bench", typer.main.get_command(bench.app))


def command_line() -> str:
    """Return the page of the command line."""
    parts = [_command(name, command) for name, command in commands() if name]
    return _page(
        "Command line",
        "`recstream --help`, and `--help` of each command, say the same. Exit codes: 0 done, "
        "1 refused or failed, 2 wrong usage or configuration, 130 interrupted. "
        "`recstream --install-completion` sets up the shell's completion.",
        *parts,
    )


def errors() -> str:
    """Return the page of the errors and codes."""
    modules: dict[tuple[str, str], list[str]] = {}
    for kind, name, module in codes():
        modules.setdefault((kind, name), []).append(f"`{module}`")
    rows = [(f"`{name}`", kind, ", ".join(where)) for (kind, name), where in modules.items()]
    fallbacks = ", ".join(f"`{name}`" for name in (NOT_READY, LEASE_LAPSED, UNKNOWN_USER))
    return _page(
        "Errors and codes",
        "What to do about each: [when something is wrong](../how-to/when-something-is-wrong.md). "
        "The branch of an error says what its catcher does (`registry/errors.py`).",
        "\n".join(_branch(RecstreamError, 0)),
        "## Codes\n\nStable; messages may change. `{field}` stands for the field's name.",
        _table(("code", "stands for", "named in"), rows),
        f"`fallback_reason` of an answer is one of {fallbacks}.",
    )


def api() -> str:
    """Return the page of the HTTP API: what the OpenAPI document says, for people."""
    schemas = openapi.document()["components"]["schemas"]
    reads = [one for one in ENDPOINTS if one.kind is None]
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
    page = _page(
        "HTTP API",
        API_WORDS["intro"],
        "## Reading",
        _table(
            ("endpoint", "what", "answers"),
            [(f"`{one.method} {one.path}`", one.summary, _answers(one.answers)) for one in reads],
        ),
        "## The history\n\nRead from Kafka by any worker; filters are query parameters:",
        _table(("parameter", "allowed", "what"), _rows(filters)),
        "## Writing",
        _table(("endpoint", "command", "what", "arguments"), named),
        f"Each takes these as well: {', '.join(f'`{name}`' for name in common)}.",
        API_WORDS["fields"],
        _table(("argument", "allowed", "what"), _rows(fields)),
        "## Answers to a write",
        _table(
            ("status", "when", "body"),
            [(one.status, one.when, _content(one)) for one in (*WRITE_ANSWERS, *EVERYWHERE)],
        ),
        API_WORDS["writers"],
        "## Documents",
        *(_message(name, schemas[name], None).replace("## ", "### ", 1) for name in own),
    )
    here = {_anchor(name) for name in own}
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
    return [(f"`{name}`", _allowed(told), told["description"]) for name, told in plain.items()]


def _answers(answers: Iterable[Answered]) -> str:
    return "; ".join(f"{one.status} {one.when}: {_content(one)}" for one in answers)


def _content(answer: Answered) -> str:
    """Say what the body is, with a link to its description."""
    ((media, content),) = openapi.content_of(answer.content).items()
    return _allowed(content["schema"]) if "json" in media else f"`{media}`"


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
    "the token, from anywhere. Without: callers on loopback only, no proxy (`Forwarded`, "
    "`X-Forwarded-For`), and no browser that acts for another site (`Sec-Fetch-Site`, `Origin`, or "
    "a `Host` that is neither an address nor `localhost`). Reading is open to whoever reaches the "
    "port.",
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


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", *parts]) + "\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    return re.sub(r"\s+", " ", str(value)).replace("|", "\\|").strip()


def _allowed(schema: Mapping[str, Any]) -> str:
    """Say in words what a JSON Schema allows."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{_anchor(name)})"
    if "anyOf" in schema:
        return " or ".join(_allowed(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema["type"] == "array":
        return f"list of {_allowed(schema['items'])}"
    bounds = [
        words.format(schema[name]) for name, words in BOUNDS.items() if schema.get(name) is not None
    ]
    return ", ".join([str(schema["type"]), *bounds])


def _anchor(title: str) -> str:
    """Return the anchor that GitHub gives to a heading of one word."""
    return re.sub(r"\W", "", title.lower())


BOUNDS: Final = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "≥ {} characters",
    "maxLength": "≤ {} characters",
    "pattern": "matching `{}`",
}
"""By JSON Schema's word, how a bound is shown."""


def _message(name: str, schema: Mapping[str, Any], channel: asyncapi.Channel | None) -> str:
    required = schema.get("required", [])
    rows = [
        (f"`{field}`", _allowed(told), "required" if field in required else _default(told))
        for field, told in schema["properties"].items()
    ]
    parts = [f"## {name}", _prose(schema["description"])]
    parts.append(_table(("field", "type", "default"), rows))
    if channel is not None:
        example = json.dumps(asyncapi.example_of(channel), indent=1, ensure_ascii=False)
        parts.append(f"```json\n{example}\n```")
    return "\n\n".join(parts)


def _prose(docstring: str) -> str:
    """Return a NumPy docstring with its parameters as a list."""
    told, _, parameters = docstring.partition("\n\nParameters\n----------\n")
    items = re.sub(r"^(\S.*)\n {4}", r"- `\1`: ", parameters, flags=re.MULTILINE)
    return "\n\n".join(filter(None, (told, items)))


def _default(schema: Mapping[str, Any]) -> str:
    """Say what an absent field means; for `msgspec`'s UNSET there is no default."""
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else "absent"


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
        parts.append(_table(("option", "what"), rows))
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
