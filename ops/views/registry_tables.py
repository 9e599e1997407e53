"""How the registry looks: listings, one version, two compared, and what may go.

Knows tables and words, and which manifest fields are compared. Must not know options or Kafka.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from rich.table import Table

from ops.views import terminal
from ops.views.terminal import Text
from registry.errors import ArtifactError
from registry.versions.garbage import Judged, Named
from registry.versions.labels import Labels, Mark
from registry.versions.manifest import Manifest
from registry.versions.store import Store

FATE_STYLE: Final[Mapping[str, str]] = {
    "kept": "green",
    "restored": "green",
    "hidden": "yellow",
    "hiding": "yellow",
    "removed": "red",
}

NOT_COMPARED: Final = frozenset({"version", "schema_version", "created_at"})
"""Always different, or never."""


class Marks(Struct, frozen=True, omit_defaults=True):
    """What a registry's people say of its versions."""

    latest: str | None
    labels: dict[str, Mark] = {}
    pins: dict[str, Mark] = {}


class Listing(Marks, frozen=True, omit_defaults=True, kw_only=True):
    """What a registry holds; a version whose manifest cannot be read is among the problems."""

    versions: list[Manifest]
    problems: dict[str, str] = {}


class Difference(Struct, frozen=True):
    """One field that differs, by its path; None: it is not there."""

    field: str
    left: str | None
    right: str | None


def marks_in(store: Store, labels: Labels) -> Marks:
    """Return what points to versions of `store`; no manifest is read."""
    return Marks(store.latest(), labels.labels(), labels.pins())


def listing_of(store: Store, labels: Labels) -> Listing:
    """Return what `store` holds."""
    manifests, problems = [], {}
    for version in store.versions():
        try:
            manifests.append(store.manifest(version))
        except ArtifactError as error:
            problems[version] = str(error)
    marks = msgspec.structs.asdict(marks_in(store, labels))
    return Listing(**marks, versions=manifests, problems=problems)


LISTED: Final = ("ndcg_at_10", "hr_at_10", "coverage_at_10")
"""Metrics of a list; `registry show` has them all, with their intervals."""


def listing_table(listing: Listing) -> Table:
    """Return one row per version."""
    rows: list[tuple[object, ...]] = [
        (
            one.version,
            ", ".join(_marks_of(one.version, listing)),
            one.created_at,
            one.created_by,
            f"{one.data_snapshot.interactions:,}",
            one.parameters.factors,
            ", ".join(f"{name} {one.metrics[name]:.3g}" for name in LISTED if name in one.metrics),
        )
        for one in listing.versions
    ]
    rows += [
        (version, "", "", "", "", "", Text(why, "red")) for version, why in listing.problems.items()
    ]
    columns = ("version", "labels", "created", "by", "interactions #", "factors #", "metrics")
    return terminal.grid(columns, rows)


def manifest_tables(manifest: Manifest, marks: Marks) -> list[Table | Text]:
    """Return one version with everything that its manifest says."""
    shown = terminal.manifest_tables(manifest)
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


def differences(left: Manifest, right: Manifest) -> list[Difference]:
    """Return the fields that differ, in the manifest's order.

    >>> from registry.versions.manifest import DataSnapshot, Gate, Parameters
    >>> data, gate = DataSnapshot("s1", "reco.interactions", {}, 9, 3, 3), Gate(True, ())
    >>> narrow, wide = (Parameters(factors, 15, 3.0, 1.0, 42) for factors in (8, 16))
    >>> one = Manifest("v0.1", "als", "", "", "", "", data, narrow, {}, gate, {})
    >>> differences(one, msgspec.structs.replace(one, version="v0.2", parameters=wide))
    [Difference(field='parameters.factors', left='8', right='16')]
    """
    one, other = (dict(_flat(msgspec.to_builtins(each))) for each in (left, right))
    fields = list(dict.fromkeys([*one, *other]))
    return [
        Difference(field, one.get(field), other.get(field))
        for field in fields
        if one.get(field) != other.get(field) and field.partition(".")[0] not in NOT_COMPARED
    ]


def difference_table(left: Manifest, right: Manifest, found: Sequence[Difference]) -> Table:
    """Return one row per field."""
    rows = [(one.field, _shown(one.left), _shown(one.right), _change(one)) for one in found]
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


def retention_tables(judged: Sequence[Judged], *, dry_run: bool) -> list[Table | Text]:
    """Return what becomes of each version, and what that means."""
    rows = [(one.version, Text(one.fate, FATE_STYLE[one.fate]), one.why) for one in judged]
    counts = {fate: sum(one.fate == fate for one in judged) for fate in FATE_STYLE}
    summary = f"{counts['hiding']} to hide, {counts['removed']} whose files go"
    end = "nothing was done; --remove does it" if dry_run else "done"
    return [terminal.grid(("version", "fate", "why"), rows), Text(f"{summary}: {end}")]


def _marks_of(version: str, marks: Marks) -> Iterator[str]:
    if version == marks.latest:
        yield "latest"
    yield from (name for name, mark in marks.labels.items() if mark.version == version)
    if version in marks.pins:
        yield "pinned"


def _flat(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the fields of a manifest by their paths; what is empty is not there."""
    if value is None or value == {}:
        return
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _flat(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, part in enumerate(value):
            yield from _flat(part, f"{path}.{part.get('name', number)}")
    else:
        yield path, value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _shown(value: str | None) -> str:
    if value is None:
        return "-"
    return value if len(value) <= 20 else f"{value[:16]}…"


def _change(one: Difference) -> str:
    try:
        return f"{float(one.right or '') - float(one.left or ''):+.4g}"
    except ValueError:
        return ""


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
