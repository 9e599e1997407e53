"""Tables of model versions: a listing, one version, the differences of two, what `gc` removes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.table import Table

from ops.views import terminal
from ops.views.terminal import Text
from ops.views.training_tables import gate_table
from registry.versions.garbage import Named, VersionFate
from registry.versions.manifest import Manifest
from registry.versions.version_differences import Difference
from registry.versions.version_listing import Listing, Marks

FATE_STYLE: Final[Mapping[str, str]] = {
    "kept": "green",
    "restored": "green",
    "hidden": "yellow",
    "hiding": "yellow",
    "removed": "red",
}

LISTED: Final = ("ndcg_at_10", "hr_at_10", "coverage_at_10")
"""Metrics in the listing; `registry show` shows all of them, with intervals."""


def listing_table(listing: Listing) -> Table:
    """Return one row per version."""
    rows: list[tuple[object, ...]] = [
        (
            manifest.version,
            ", ".join(_marks_of(manifest.version, listing)),
            manifest.created_at,
            manifest.created_by,
            f"{manifest.data_snapshot.interactions:,}",
            manifest.parameters.factors,
            ", ".join(
                f"{name} {manifest.metrics[name]:.3g}"
                for name in LISTED
                if name in manifest.metrics
            ),
        )
        for manifest in listing.versions
    ]
    rows += [
        (version, "", "", "", "", "", Text(why, "red")) for version, why in listing.problems.items()
    ]
    columns = ("version", "labels", "created", "by", "interactions #", "factors #", "metrics")
    return terminal.grid(columns, rows)


def manifest_tables(manifest: Manifest, marks: Marks) -> list[Table | Text]:
    """Return everything that a version's manifest says."""
    shown = _manifest_tables(manifest)
    extra: dict[str, object] = {"labels": ", ".join(_marks_of(manifest.version, marks))}
    extra |= {name: f"{low:.4g} to {high:.4g}" for name, (low, high) in manifest.intervals.items()}
    made = manifest.provenance
    if made is not None:
        changed = {None: None, True: "changed since its commit", False: "as its commit"}
        peak = made.peak_memory_bytes
        extra |= {
            "host": f"{made.host}, Python {made.python}, {made.backend}",
            "fit began": made.start,
            "working tree": changed[made.dirty],
            "libraries": _pairs(made.libraries),
            "seconds": _pairs({name: f"{value:.3g}" for name, value in made.durations.items()}),
            "peak memory": None if peak is None else f"{peak / 1e6:,.0f} MB",
        }
    return [shown[0], terminal.pairs(extra), *shown[1:]]


def _manifest_tables(manifest: Manifest) -> list[Table | Text]:
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
            f"{name}={value}" for name, value in manifest.parameters.text_by_name.items()
        ),
        "metrics": ", ".join(f"{name} {value:.4g}" for name, value in manifest.metrics.items()),
        "gate": "passed" if manifest.gate.passed else "failed",
    }
    files = [
        (path, f"{entry.bytes:,}", entry.sha256[:16] + "…")
        for path, entry in manifest.files.items()
    ]
    return [
        terminal.pairs(about),
        gate_table(manifest.gate),
        terminal.grid(("file", "bytes #", "SHA-256"), files),
    ]


def difference_table(left: Manifest, right: Manifest, found: Sequence[Difference]) -> Table:
    """Return one row per field."""
    rows = [
        (each.field, _shorten(each.left), _shorten(each.right), _change(each)) for each in found
    ]
    return terminal.grid(("field", f"{left.version} #", f"{right.version} #", "change #"), rows)


def named_by(marks: Marks) -> Named:
    """Return which versions labels, pins and ``latest`` name."""
    named: dict[str, list[str]] = {}
    if marks.latest is not None:
        named[marks.latest] = ["latest"]
    for name, mark in marks.labels.items():
        named.setdefault(mark.version, []).append(f"label {name}")
    for version, mark in marks.pins.items():
        named.setdefault(version, []).append(f"pinned by {mark.by}")
    return named


def retention_tables(judged: Sequence[VersionFate], *, dry_run: bool) -> list[Table | Text]:
    """Return the fate of each version, and a summary."""
    rows = [
        (version.version, Text(version.fate, FATE_STYLE[version.fate]), version.why)
        for version in judged
    ]
    counts = {fate: sum(version.fate == fate for version in judged) for fate in FATE_STYLE}
    summary = f"{counts['hiding']} to hide, {counts['removed']} to remove"
    end = "nothing was changed; --remove does it" if dry_run else "done"
    return [terminal.grid(("version", "fate", "why"), rows), Text(f"{summary}: {end}")]


def _marks_of(version: str, marks: Marks) -> Iterator[str]:
    if version == marks.latest:
        yield "latest"
    yield from (name for name, mark in marks.labels.items() if mark.version == version)
    if version in marks.pins:
        yield "pinned"


def _shorten(value: str | None) -> str:
    if value is None:
        return "-"
    return value if len(value) <= 20 else f"{value[:16]}…"


def _change(difference: Difference) -> str:
    try:
        return f"{float(difference.right or '') - float(difference.left or ''):+.4g}"
    except ValueError:
        return ""


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
