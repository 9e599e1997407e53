"""A benchmark's report: the same values as a table for people and as a JSON file for machines.

Knows how it looks. Must not know how it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from ops.bench.rig.figures import Claim, Verdict
from ops.bench.rig.machine import Machine
from ops.views import terminal
from ops.views.terminal import Text

Cell: TypeAlias = str | int | float | None
Row: TypeAlias = Mapping[str, Cell]

PRINTED_WIDTH: Final = 140
"""Columns of what goes to a file or a pipe, which do not say how wide they are."""

STYLES: Final[Mapping[Verdict, str]] = {"pass": "green", "fail": "red", "inconclusive": "yellow"}


class Report(Struct, frozen=True):
    """What one run measured, on what, and how it compares."""

    benchmark: str
    measured: str
    at: str
    machine: Machine
    parameters: dict[str, Cell]
    rows: list[dict[str, Cell]]
    bars: list[Claim]
    notes: list[str] = []


def show(report: Report, console: Console) -> None:
    """Print the report."""
    if not console.is_terminal:
        console = terminal.PlainConsole(file=console.file, width=PRINTED_WIDTH)
    console.print(Text(f"bench {report.benchmark}: {report.measured}", "bold"))
    console.print(terminal.pairs(msgspec.structs.asdict(report.machine) | report.parameters))
    console.print(_table(report.rows))
    for bar in report.bars:
        seen = f"{_shown(bar.seen)}, wanted {bar.wanted}"
        console.print(Text(f"{bar.verdict:<12}", STYLES[bar.verdict]), f"{bar.claim}: {seen}")
    for note in report.notes:
        console.print(Text(note, "dim"))


def write(report: Report, path: Path) -> None:
    """Write the report as indented JSON; its folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def _table(rows: Sequence[Row]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    numeric = {name for name in names if not any(isinstance(row.get(name), str) for row in rows)}
    return terminal.grid(
        [f"{name} #" if name in numeric else name for name in names],
        [[_shown(row.get(name)) for name in names] for row in rows],
    )


def _shown(cell: Cell) -> str:
    """Return three significant digits, or whole numbers with separators.

    >>> _shown(1234.5), _shown(1.2345), _shown(7), _shown(None)
    ('1,234', '1.23', '7', '')
    """
    if cell is None or isinstance(cell, str):
        return cell or ""
    return f"{cell:,.0f}" if isinstance(cell, int) or abs(cell) >= 100 else f"{cell:.3g}"
