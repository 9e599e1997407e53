"""Generates the reference pages from the code: ``make docs``.

The command line's page is made by `ops.docs.cli_page`, the HTTP API's by `ops.docs.api_page`. A
test generates all pages and compares them with `docs/reference/`: they cannot become outdated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from ops.docs import api_page, cli_page, markdown
from ops.docs.markdown import ROOT
from registry import error_codes
from registry.errors import RecstreamError
from registry.kafka.topics import topics_of
from registry.settings import Settings, read_settings
from registry.versions.manifest import manifest_schema
from streams import asyncapi
from streams.metrics import Metrics
from streams.topic_channels import CHANNELS, example_of

FOLDER: Final = ROOT / "docs" / "reference"
API: Final = ROOT / "docs" / "API_REFERENCE.md"
HEAD: Final = "<!-- Generated from the code by `make docs`; do not edit. -->\n\n"


def pages() -> dict[str, str]:
    """Return the text of every generated file in `docs/reference/`, by its name."""
    made = {name: HEAD + page() for name, page in PAGES.items()}
    documents = {
        "asyncapi.json": asyncapi.document(read_settings({})),
        "manifest.schema.json": manifest_schema(),
    }
    return made | {
        name: json.dumps(document, indent=2) + "\n" for name, document in documents.items()
    }


def write(folder: Path = FOLDER) -> None:
    """Write all pages, and the API reference."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, "utf-8")
    API.write_text(api_reference(), "utf-8")


def api_reference() -> str:
    """Return the text of `docs/API_REFERENCE.md`."""
    return HEAD + api_page.api()


def settings() -> str:
    """Return the page of the settings."""
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
        "Environment variables, read once at startup (`registry/setting_groups/`). Empty ones "
        "count as unset. An invalid value ends the program with exit code 2 and a message "
        "that names the variable, the value and what is allowed. `.env.example` lists the same; "
        "`recstream` reads no `.env` file by itself.",
        markdown.table(("variable", "what", "allowed", "default"), rows),
    )


def topics() -> str:
    """Return the page of the topics."""
    defaults = topics_of(read_settings({}))
    rows = []
    for name, channel in CHANNELS.items():
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
        "`reco`, `RECSTREAM_PARTITIONS` the 8. `recstream topics create` creates the missing "
        "ones, `recstream topics check` checks the others, and a worker does not start if one is "
        "wrong, but for `reco.items`, without which no item is withdrawn. The messages are on "
        "[their own page](messages.md).",
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
        channel.message: example_of(channel)
        for channel in CHANNELS.values()
        if channel.example is not None
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


def errors() -> str:
    """Return the page of the errors and codes."""
    rows = [
        (f"`{code}`", f"`{kind.__name__}`", _first_line(kind))
        for kind in vars(error_codes).values()
        if isinstance(kind, type) and issubclass(kind, StrEnum)
        for code in kind
    ]
    return markdown.page(
        "Errors and codes",
        "What to do about each: [when something is wrong](../how-to/when-something-is-wrong.md). "
        "The branch of an error says what its catcher does (`registry/errors.py`).",
        "\n".join(_branch(RecstreamError, 0)),
        "## Codes\n\nStable; messages may change (`registry/error_codes.py`).",
        markdown.table(("code", "kind", "what happens"), rows),
    )


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings,
    "topics.md": topics,
    "messages.md": messages,
    "metrics.md": metrics,
    "cli.md": cli_page.command_line,
    "errors.md": errors,
}


def _first_line(documented: type) -> str:
    return (documented.__doc__ or "").split("\n")[0].replace("``", "`")


def _branch(error: type[RecstreamError], depth: int) -> Iterator[str]:
    code = error.__dict__.get("code")
    named = f"`{code}`" if code else "code given where it is raised"
    yield f"{'  ' * depth}- `{error.__name__}` ({named}): {_first_line(error)}"
    for below in error.__subclasses__():
        if below.__module__ == error.__module__:
            yield from _branch(below, depth + 1)


if __name__ == "__main__":
    write()
