"""Tables and JSON Schemas as Markdown, for the pages generated from the code.

Pure. Must not know which pages exist.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
"""The clone, whose `docs/` holds the pages."""

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


def page(title: str, *parts: str) -> str:
    """Return a page of these parts."""
    return "\n\n".join([f"# {title}", *parts]) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; what a cell holds is put on one line."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    return re.sub(r"\s+", " ", str(value)).replace("|", "\\|").strip()


def allowed(schema: Mapping[str, Any]) -> str:
    """Say in words what a JSON Schema allows."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{anchor(name)})"
    if "anyOf" in schema:
        return " or ".join(allowed(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema["type"] == "array":
        return f"list of {allowed(schema['items'])}"
    bounds = [
        words.format(schema[name]) for name, words in BOUNDS.items() if schema.get(name) is not None
    ]
    return ", ".join([str(schema["type"]), *bounds])


def anchor(title: str) -> str:
    """Return the anchor that GitHub gives to a heading of one word."""
    return re.sub(r"\W", "", title.lower())


def described(name: str, schema: Mapping[str, Any], example: object = None) -> str:
    """Return the section of a schema: its fields or its kinds, and an example if there is one."""
    required = schema.get("required", [])
    rows = [
        (f"`{field}`", allowed(allows), "required" if field in required else _default(allows))
        for field, allows in schema.get("properties", {}).items()
        if allows is not False  # refused
    ]
    parts = [f"## {name}", _prose(schema["description"])]
    if rows:
        parts.append(table(("field", "type", "default"), rows))
    else:
        parts.append(f"One of {', '.join(map(allowed, schema['anyOf']))}.")
    if example is not None:
        shown = json.dumps(example, indent=1, ensure_ascii=False)
        parts.append(f"```json\n{shown}\n```")
    return "\n\n".join(parts)


def _prose(docstring: str) -> str:
    """Return a NumPy docstring with its parameters as a list."""
    prose, _, parameters = docstring.partition("\n\nParameters\n----------\n")
    items = re.sub(r"^(\S.*)\n {4}", r"- `\1`: ", parameters, flags=re.MULTILINE)
    return "\n\n".join(filter(None, (prose, items)))


def _default(schema: Mapping[str, Any]) -> str:
    """Say what an absent field means; for `msgspec`'s UNSET there is no default."""
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else "absent"
