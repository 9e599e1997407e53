"""The data report on the terminal: what the data contain, and what is unusual."""

from __future__ import annotations

from rich.table import Table

from ops.views.terminal import Text, pairs
from registry.wire.training_records.data_report import DataReport


def data_report_tables(report: DataReport) -> list[Table | Text]:
    """Return the figures, then a line for each warning."""
    return [
        pairs(report.text_by_name),
        *(Text(f"warning: {warning}", "yellow") for warning in report.warnings),
    ]
