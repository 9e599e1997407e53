"""What people see: tables and lines on the terminal, JSON for machines.

Knows how values look. Must not know where they come from. Tables go to standard output; progress
and complaints go to standard error, so that ``--json`` output stays clean.
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

from ops.clients.answer_tally import Tally
from ops.views.escape_text import ACTING, escaped, on_one_line
from registry.error_codes import FallbackCode
from registry.ids import twin_of
from registry.rollout.assignment import canary_share
from registry.rollout.wording import ramp_words
from registry.versions.manifest import Manifest
from registry.wire.command_results import CommandResult
from registry.wire.gate_results import Gate
from registry.wire.responses import Response
from registry.wire.rollout_state import RolloutState
from registry.wire.training_messages import TrainingResult


class Text(rich.text.Text):
    """Text in which no character acts; to be used for whatever a person sees."""

    def __init__(self, text: str = "", *args: Any, **given: Any) -> None:
        super().__init__(escaped(text), *args, **given)

    @classmethod
    def assemble(cls, *parts: Any, **given: Any) -> Text:
        """Return the parts, each a text or a text and its style, as one text."""
        made = super().assemble(*parts, **given)
        assert isinstance(made, cls)
        return made

    def append(self, text: rich.text.Text | str, style: Any = None) -> Text:
        """Add `text` at the end, escaped."""
        super().append(escaped(text) if isinstance(text, str) else text, style)
        return self


class PlainConsole(Console):
    """A console on which nothing acts but what it writes itself; no markup is read out of texts."""

    def __init__(self, **given: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **given)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Return what is drawn, with the texts of others escaped, however they came here."""
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
    payload = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    lines = (ACTING.sub(_in_json, line) for line in payload.split("\n"))  # within texts only
    sys.stdout.write("\n".join(lines) + "\n")


def _in_json(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def progress(console: Console, *, hidden: bool = False) -> Progress:
    """Return a progress bar with counts, rate and time; shown on terminals only."""
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
    """Return a table of names and values; values that are None or empty are left out."""
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
    """Return a table with a header; a column whose name ends in ``#`` is a column of numbers.

    However narrow the terminal, no word of the header is broken.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in columns:
        shown, of_numbers = name.rstrip("# "), name.endswith("#")
        table.add_column(
            shown,
            justify="right" if of_numbers else "left",
            overflow="fold",
            min_width=max(map(len, shown.split()), default=1),
            no_wrap=of_numbers and " " not in shown,  # so that words make room, not figures
        )
    for row in rows:
        table.add_row(
            *(cell if isinstance(cell, Text) else Text(on_one_line(str(cell))) for cell in row)
        )
    return table


def state_table(state: RolloutState) -> Table:
    """Return the rollout state as names and values; what the strategy does not use is left out.

    But for a bucketing that somebody has set: the next canary begins with it.
    """
    splits, shadows = state.strategy in ("canary", "ab_test"), state.strategy == "shadow"
    deals = splits or state.bucketing != "modulo" or state.salt
    sampled = f"{state.shadow_sample_percentage:g} % of users"
    return pairs(
        {
            "environment": state.environment,
            "epoch": state.epoch,
            "strategy": state.strategy,
            "primary version": state.primary_version,
            "canary version": state.canary_version,
            "canary percentage": f"{canary_share(state):g} %" if splits else None,
            "bucketing": state.bucketing + ("" if splits else ", kept for the next canary")
            if deals
            else None,
            "salt": state.salt,
            "shadow sample": sampled if shadows else None,
            "ramp": ramp_words(state.ramp) if state.ramp else None,
            "previous versions": ", ".join(state.previous_versions),
            "updated": on_one_line(f"{state.updated_at} by {state.updated_by}".strip()),
            "reason": state.reason,
        }
    )


def print_result(result: CommandResult) -> None:
    """Print what became of a command; a rejection goes to standard error."""
    if result.error is not None and result.status == "rejected":
        err.print(
            Text(f"{result.type} rejected ({result.error.code}): {result.error.message}", "red")
        )
        return
    epoch = "" if result.epoch is None else f"   epoch {result.epoch}"
    out.print(Text.assemble((f"{result.type} {result.status}", "green"), (epoch, "dim")))
    if result.after is not None:
        out.print(state_table(result.after))


def answer_tables(response: Response) -> list[Table | Text]:
    """Return an answer as its items and its provenance."""
    provenance = response.provenance
    shown: list[Table | Text] = []
    if response.error is not None:
        shown.append(Text(f"{response.error.code}: {response.error.message}", "red"))
    if response.items:
        rows = [
            (rank, item.item_id, item.title or "", f"{item.score:.3f}")
            for rank, item in enumerate(response.items, 1)
        ]
        shown.append(grid(("#", "item", "title", "score #"), rows))
    strategy = " ".join(
        str(part)
        for part in (
            provenance.strategy,
            f"epoch {provenance.rollout_epoch}" if provenance.rollout_epoch is not None else None,
            f"bucket {provenance.bucket}" if provenance.bucket is not None else None,
        )
        if part is not None
    )
    shown.append(
        pairs(
            {
                "version": " · ".join(
                    part
                    for part in (response.model_version, response.variant, response.source)
                    if part
                ),
                "fallback": _fallback(response),
                "assigned version": response.assigned_version,
                "rollout": strategy,
                "learned from": provenance.data_snapshot,
                "code": provenance.git_sha,
                "image": provenance.image_digest,
                "worker": provenance.worker
                if provenance.latency_ms is None
                else f"{provenance.worker}, {provenance.latency_ms:.1f} ms",
            }
        )
    )
    return shown


def _fallback(response: Response) -> str | None:
    """Return the reason, and what there is to know about it."""
    if response.fallback_reason != FallbackCode.USER_ID_OF_OTHER_TYPE:
        return response.fallback_reason
    asked = "an integer" if isinstance(response.user_id, int) else "a string"
    return (
        f"{response.fallback_reason}: {response.model_version} knows "
        f"{twin_of(response.user_id)!r}, you asked for {asked}, {response.user_id!r}"
    )


def tally_table(tally: Tally) -> Table:
    """Return one row for each version, variant and source that has answered."""
    rows = [
        (
            one.status,
            one.version,
            one.variant,
            one.source,
            f"{one.answers:,}",
            _known(one.median_ms),
        )
        for one in tally.counts()
    ]
    columns = ("status", "version", "variant", "source", "answers #", "median ms #")
    return grid(columns, rows)


def _known(figure: float | None) -> object:
    return "" if figure is None else figure


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


def training_tables(result: TrainingResult) -> list[Table | Text]:
    """Return how a training run ended: the gate's checks, and the version or the reason."""
    shown: list[Table | Text] = []
    if result.gate is not None:
        shown.append(gate_table(result.gate))
    if result.snapshot is not None and result.snapshot.unusable:
        shown.append(Text(result.snapshot.unusable_words, "yellow"))
    if result.status == "published":
        shown.append(Text(f"published {result.version}", "bold green"))
    else:
        shown.append(Text(f"{result.status} ({result.code}): {result.reason}", "red"))
    return shown


def manifest_tables(manifest: Manifest) -> list[Table | Text]:
    """Return one version with its provenance, metrics, gate and files."""
    snapshot = manifest.data_snapshot
    about = {
        "version": manifest.version,
        "model": manifest.model_name,
        "created": f"{manifest.created_at} by {manifest.created_by}",
        "code": manifest.git_sha,
        "image": manifest.image_digest,
        "snapshot": snapshot.id,
        "learned from": f"{snapshot.interactions:,} interactions of {snapshot.users:,} users with "
        f"{snapshot.items:,} items in {snapshot.topic}",
        "left out": snapshot.unusable_words,
        "parameters": ", ".join(
            f"{name}={value:g}"
            for name, value in msgspec.structs.asdict(manifest.parameters).items()
        ),
        "metrics": ", ".join(f"{name} {value:.4g}" for name, value in manifest.metrics.items()),
        "gate": "passed" if manifest.gate.passed else "failed",
    }
    files = [
        (path, f"{entry.bytes:,}", entry.sha256[:16] + "…")
        for path, entry in manifest.files.items()
    ]
    return [
        pairs(about),
        gate_table(manifest.gate),
        grid(("file", "bytes #", "SHA-256"), files),
    ]
