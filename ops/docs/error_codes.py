"""The stable codes, found where the program names them: nobody keeps a list by hand.

Reads the source of the four packages as syntax trees. Knows in which calls a code stands; must not
know what a code means (`docs/how-to/when-something-is-wrong.md`). A code that depends on a field is
shown as it is written, like ``bad_{field}``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("registry", "training", "streams", "ops")

PLACES: Final[Mapping[str, tuple[str, int]]] = {
    "RecordError": ("a record that cannot be used", 1),
    "RefusedCommand": ("a refused command", 1),
    "_refuse": ("a refused command", 0),
    "AnswerError": ("the error of an answer or a result", 0),
    "Reason": ("not ready", 0),
    "Notice": ("a notice of a worker that serves", 0),
    "TrainingFailed": ("a training without a version", 1),
    "TrainingResult": ("a training without a version", -1),
    "_failed": ("a training without a version", 1),
    "_named_failures": ("a training without a version", 1),
    "replace": ("a training without a version", -1),
    "Refused": ("an HTTP answer", 1),
}
"""By the name that is called: what the code stands for, and its place among the arguments; -1: it
is given by keyword only. Other arguments than text are codes that come from elsewhere."""


class Code(NamedTuple):
    """One code: what it stands for, its name, and the module that names it."""

    kind: str
    name: str
    module: str


def codes() -> list[Code]:
    """Return all codes of the four packages, each once per kind and module, in order."""
    paths = [path for one in PACKAGES for path in (ROOT / one).rglob("*.py")]
    return sorted({code for path in paths for code in codes_in(path)})


def codes_in(path: Path) -> Iterator[Code]:
    """Yield the codes that the module at `path` names."""
    module = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            kind, place = PLACES.get(node.func.id, ("", -1))
            given = [one.value for one in node.keywords if one.arg == "code"]
            given += node.args[place : place + 1] if place >= 0 else []
            yield from (Code(kind, name, module) for one in given if kind and (name := _text(one)))


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ast.unparse(node)[2:-1] if isinstance(node, ast.JoinedStr) else None
