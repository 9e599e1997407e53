"""How a file of interactions is read, with its first rows, as a table.

Knows what people must see to confirm it. Must not know how files are read.
"""

from __future__ import annotations

from rich.table import Table

from ops.ingest.file_layout import Layout
from ops.views.terminal import grid

UNITS = {"s": "seconds", "ms": "milliseconds", "iso": "ISO 8601"}


def layout_table(name: str, layout: Layout) -> Table:
    """Return a row for each column that is used: its role, its name, and its first cells."""
    rows = [
        (
            f"time, {UNITS[layout.unit]}" if role == "time" else role,
            layout.names[place],
            *(_cell(row[place]) for row in layout.rows),
        )
        for role, place in layout.places.items()
    ]
    if layout.event is not None:
        rows.append(("event", f"always {layout.event}", *[""] * len(layout.rows)))
    heads = [f"row {number}" for number in range(1, len(layout.rows) + 1)]
    return grid(("is the", "column", *heads), rows, title=f"{name}: {layout.seen}")


def _cell(cell: object) -> str:
    return "" if cell is None else str(cell)
