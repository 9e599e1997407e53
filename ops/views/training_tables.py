"""Tables of a training run: the gate's checks and the outcome."""

from __future__ import annotations

from rich.table import Table

from ops.views.terminal import VERDICT_STYLE, Text, grid
from registry.wire.training_records.gate_results import Gate
from registry.wire.training_records.training_messages import TrainingResult


def training_tables(result: TrainingResult) -> list[Table | Text]:
    """Return the gate's checks, and the published version or the reason why there is none."""
    shown: list[Table | Text] = []
    if result.gate is not None:
        shown.append(gate_table(result.gate))
    if result.snapshot is not None and result.snapshot.unusable:
        shown.append(Text(result.snapshot.unusable_words, "yellow"))
    shown += [Text(f"warning: {warning}", "yellow") for warning in result.warnings]
    if result.status == "published":
        shown.append(Text(f"published {result.version}", "bold green"))
        if result.code is not None:
            shown.append(Text(f"not deployed ({result.code}): {result.reason}", "yellow"))
    else:
        shown.append(Text(f"{result.status} ({result.code}): {result.reason}", "red"))
    return shown


def gate_table(gate: Gate) -> Table:
    """Return the gate's checks."""
    rows = [
        (
            Text(check.verdict, VERDICT_STYLE[check.verdict]),
            check.name.replace("_", " "),
            check.seen,
            check.allowed,
        )
        for check in gate.checks
    ]
    return grid(("verdict", "check", "seen", "allowed"), rows)
