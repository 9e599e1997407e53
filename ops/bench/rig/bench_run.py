"""What all benchmarks do around their measuring: the ground, the report, the file.

Must not know any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ops.bench.rig.bench_report import Cell, Report, show, write
from ops.bench.rig.figures import Claim
from ops.bench.rig.ground import Ground, ground
from ops.bench.rig.machine import this_machine
from ops.views import terminal


@dataclass(frozen=True, slots=True)
class Measured:
    """What a benchmark found out."""

    parameters: dict[str, Cell]
    rows: list[dict[str, Cell]]
    bars: list[Claim]
    notes: list[str] = field(default_factory=list)


def publish_report(
    benchmark: str, measured: str, kafka: str, path: Path | None, measure: Callable[[], Measured]
) -> Measured:
    """Measure, print the table, write the file (default ``bench-results/BENCHMARK.json``)."""
    machine = this_machine(kafka)  # before: its load average is that of the others
    found = measure()
    report = Report(
        benchmark=benchmark,
        measured=measured,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        parameters=found.parameters,
        rows=found.rows,
        bars=found.bars,
        notes=found.notes,
    )
    show(report, terminal.out)
    path = path or Path("bench-results") / f"{benchmark}.json"
    write(report, path)
    say(f"written to {path}")
    return found


def publish_on_kafka(
    benchmark: str, measured: str, path: Path | None, measure: Callable[[Ground], Measured]
) -> None:
    """Do the same for what is measured on Kafka, which is started unless there is one."""
    with ground() as on:
        publish_report(benchmark, measured, on.kafka, path, lambda: measure(on))


def say(line: str) -> None:
    """Print a line of progress on standard error."""
    terminal.err.print(line, style="dim", soft_wrap=True)
