"""The reference page of the command line, generated from the commands' own help."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer

from ops import bench
from ops.cli import main as cli
from ops.docs import markdown


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command of the command line with its full name, such as ``rollout set``."""
    yield from _walk("", built(cli.app))
    yield from _below("bench", built(bench.app))


@cache
def built(app: typer.Typer) -> Any:
    """Return the command that `app` describes; Typer takes 50 ms to build ours, at each call."""
    return typer.main.get_command(app)


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


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    yield from _below(name, command)


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    for word, below in getattr(command, "commands", {}).items():
        yield from _walk(f"{name} {word}".strip(), below)


def _command(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=f"recstream {name}")
    records = [
        (parameter.param_type_name, *parameter.get_help_record(context))
        for parameter in command.params
        if parameter.name not in ("help", "install_completion", "show_completion")
    ]
    arguments = [words.split()[0].upper() for kind, words, _ in records if kind == "argument"]
    usage = " ".join([f"recstream {name}", *arguments])
    prose, _, examples = inspect.cleandoc(command.help or "").partition("Examples\n--------\n")
    parts = [f"## {usage}", prose.strip()]
    if examples:
        parts.append(f"```sh\n{inspect.cleandoc(examples)}\n```")
    if records:
        rows = [(f"`{words}`", what) for _, words, what in records]
        parts.append(markdown.table(("option", "what"), rows))
    return "\n\n".join(parts)
