"""The terminal: consoles, escaped text, two forms of table, a progress bar, JSON.

Knows nothing of the values that are shown. Tables go to standard output; progress and errors go to
standard error, so that ``--json`` output stays clean.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import rich.text
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.segment import Segment
from rich.table import Table

from ops.views.escape_text import ACTING, escaped, on_one_line
from registry.wire.instants import write_instant


class Text(rich.text.Text):
    """Text with control characters escaped; use it for everything that is shown."""

    def __init__(self, text: str = "", *args: Any, **given: Any) -> None:
        super().__init__(escaped(text), *args, **given)

    @classmethod
    def assemble(cls, *parts: Any, **given: Any) -> Text:
        """Join the parts, each a string or a (string, style) pair."""
        text = super().assemble(*parts, **given)
        assert isinstance(text, cls)
        return text

    def append(self, text: rich.text.Text | str, style: Any = None) -> Text:
        """Append `text`, escaped."""
        super().append(escaped(text) if isinstance(text, str) else text, style)
        return self


class PlainConsole(Console):
    """A console that escapes control characters in all text, and interprets no markup."""

    def __init__(self, **given: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **given)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render with control characters in texts escaped, wherever they come from."""
        for segment in super().render(renderable, options):
            acts = segment.control is None and ACTING.search(segment.text)
            yield Segment(escaped(segment.text), segment.style) if acts else segment


out: Final = PlainConsole()
err: Final = PlainConsole(stderr=True)

VERDICT_STYLE: Final[Mapping[str, str]] = {
    "pass": "green",
    "fail": "red",
    "inconclusive": "yellow",
    "error": "red",
}


def print_json(value: Any) -> None:
    """Print `value` as indented JSON on standard output."""
    payload = msgspec.json.format(
        msgspec.json.encode(value, enc_hook=write_instant), indent=2
    ).decode()
    lines = (ACTING.sub(_in_json, line) for line in payload.split("\n"))  # inside strings only
    sys.stdout.write("\n".join(lines) + "\n")


def _in_json(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def progress(console: Console, *, hidden: bool = False) -> Progress:
    """Return a progress bar with count, rate and time; it is shown on terminals only."""
    return Progress(
        TextColumn("    {task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        _RateColumn(),
        console=console,
        disable=hidden or not console.is_terminal,
    )


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", "dim")


def pairs(rows: Mapping[str, object], title: str | None = None) -> Table:
    """Return a table of names and values; None and empty values are left out."""
    table = Table(
        title=title, title_justify="left", box=None, show_header=False, padding=(0, 2, 0, 0)
    )
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value is not None and value != "":
            table.add_row(name, Text(str(value)))
    return table


def grid(
    columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None
) -> Table:
    """Return a table with a header; a name that ends in ``#`` makes a right-aligned number column.

    Words of the header are never broken, however narrow the terminal is.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in columns:
        shown, of_numbers = name.rstrip("# "), name.endswith("#")
        table.add_column(
            shown,
            justify="right" if of_numbers else "left",
            overflow="fold",
            min_width=max(map(len, shown.split()), default=1),
            no_wrap=of_numbers and " " not in shown,  # so that text columns shrink, not numbers
        )
    for row in rows:
        table.add_row(
            *(cell if isinstance(cell, Text) else Text(on_one_line(str(cell))) for cell in row)
        )
    return table
