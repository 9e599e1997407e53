"""The manifest: what one model version is made of, how it was made, and that it may be served.

Knows the schema of ``meta.json``. Must not know files or stores. Written last of all files of a
version, so that a version without a manifest does not exist.
"""

from __future__ import annotations

import hashlib
from inspect import cleandoc
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct, structs

from registry.errors import DamagedVersion
from registry.ids import is_version_name
from registry.wire.training_records.data_report import DataReport
from registry.wire.training_records.event_weights import EventWeight, spell_event_weights
from registry.wire.training_records.gate_results import Count, DataSnapshot, Gate

SCHEMA_VERSION: Final = 1
"""Raised when a reader of this schema would misread the next one; a newer manifest is refused."""


class Parameters(Struct, frozen=True):
    """What the training was told (``implicit``'s names), with the mapping of events to weights.

    ``event_weights`` are exact: no transform is ``auto``. ``weight_watch``, ``weight_click`` and
    ``rating_floor`` are how the previous release names them; they count where a manifest has no
    ``event_weights``. 0 days, and a minimum of 0, are without any. The formulas are in
    :mod:`registry.weighing` and :mod:`training.data.cell_weights`.
    """

    factors: int
    iterations: int
    regularization: float
    alpha: float
    seed: int
    weight_watch: float = 1.0
    weight_click: float = 0.5
    rating_floor: float = 0.0
    window_days: float = 0.0
    half_life_days: float = 0.0
    min_user_interactions: int = 0
    min_item_interactions: int = 0
    event_weights: dict[str, EventWeight] = {}

    @property
    def weights(self) -> dict[str, EventWeight]:
        """The weight of each kind of event that counts.

        >>> spell_event_weights(Parameters(8, 1, 0.1, 1.0, 42, rating_floor=2).weights)
        'watch=1,click=0.5,rate=1:floor=2'
        """
        return self.event_weights or {
            "watch": EventWeight(self.weight_watch),
            "click": EventWeight(self.weight_click),
            "rate": EventWeight(1.0, floor=self.rating_floor),
        }

    @property
    def text_by_name(self) -> dict[str, str]:
        """What counts, by name, for people.

        >>> Parameters(8, 15, 3.25, 1.0, seed=4_294_967_295).text_by_name["seed"]
        '4294967295'
        """
        given = structs.asdict(self)
        weights = spell_event_weights(self.weights)
        numbers = {
            name: f"{value:g}" if isinstance(value, float) else str(value)
            for name, value in given.items()
            if name not in _WEIGHTS
        }
        return numbers | {"event_weights": weights}


_WEIGHTS: Final = ("weight_watch", "weight_click", "rating_floor", "event_weights")


class FileEntry(Struct, frozen=True):
    """Checksum and size of one file of the version."""

    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}(?!\n)$")]
    bytes: Count


class WarmStart(Struct, frozen=True, tag="warm"):
    """The fit started from the factors of another version.

    Parameters
    ----------
    version, digest
        Which one, and :func:`content_digest` of its manifest.
    users, items
        Number of rows taken from it; the others started at random.
    iterations
        Of this fit, instead of those of the parameters.
    """

    version: str
    digest: str
    users: Count
    items: Count
    iterations: Count

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"from {self.version}'s factors of {self.users:,} users and {self.items:,} items, "
            f"{self.iterations} iterations"
        )


Order: TypeAlias = Literal["time", "minute", "random", "rows"]
"""In which order a user's interactions are held out, the last ones: by time, by time to the minute,
or at random. Ties are broken by the seed; ``rows``, of releases before, by the item's row."""


class TrialStart(Struct, frozen=True, tag="trial"):
    """The fit started from the factors of the trial, by which the run was judged.

    Parameters
    ----------
    holdout
        The share of each user's interactions that was held out from the trial.
    iterations
        Of this fit, instead of those of the parameters, which are the trial's.
    reason
        Why it did not start from another version's factors, if that was requested.
    order
        The order of a user's interactions, of which the last ones were held out.
    """

    holdout: Annotated[float, Meta(gt=0, lt=1)]
    iterations: Annotated[int, Meta(ge=1)]
    reason: str = ""
    order: Order = "rows"

    def __str__(self) -> str:
        """Say it in one line."""
        why = f": {self.reason}" if self.reason else ""
        return f"from the trial's factors, {self.iterations} iterations{why}"


class ColdStart(Struct, frozen=True, tag="cold"):
    """The fit started at random although another start was configured; ``reason`` says why."""

    reason: str

    def __str__(self) -> str:
        """Say it in one line."""
        return f"at random: {self.reason}"


Start: TypeAlias = WarmStart | TrialStart | ColdStart
"""Where the fit of what is published began, if anything but chance was asked for."""


class TrainingProvenance(Struct, frozen=True):
    """Where and how a version was trained, so that it can be reproduced.

    Parameters
    ----------
    host
        Name of the machine.
    python
        Version of the interpreter.
    backend
        What fitted the factors, like ``implicit`` or ``spark``.
    libraries
        Version by distribution name.
    dirty
        The code differed from its commit; None if nobody could tell.
    durations
        Seconds by stage of the run.
    peak_memory_bytes
        Peak resident memory of the run; None if it was not measured.
    start
        Where the fit started; None: at random, as nothing else was requested.
    """

    host: str
    python: str
    backend: str = "implicit"
    libraries: dict[str, str] = {}
    dirty: bool | None = None
    durations: dict[str, float] = {}
    peak_memory_bytes: Count | None = None
    start: Start | None = None


class Description(Struct, frozen=True, kw_only=True):
    """What its publisher says of a version: the manifest without its name and files."""

    model_name: str
    created_at: str
    created_by: str
    git_sha: str
    image_digest: str
    data_snapshot: DataSnapshot
    parameters: Parameters
    metrics: dict[str, float]
    gate: Gate
    provenance: TrainingProvenance | None = None
    intervals: dict[str, tuple[float, float]] = {}
    data_report: DataReport | None = None


class Manifest(Description, frozen=True):
    """``meta.json``: a version's name, its files by name, and its description.

    ``intervals`` are the bounds (low, high) of metrics, by their names. ``share_read`` is the share
    of its items that the kernel of tiles reads for its users; whether that one serves, each worker
    decides by timing, and shows.
    """

    version: str
    files: dict[str, FileEntry]
    share_read: Annotated[float, Meta(gt=0, le=1)] | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def backend(self) -> str:
        """What fitted the factors: ``implicit`` alone, before manifests said so."""
        return self.provenance.backend if self.provenance else "implicit"


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of ``meta.json``.

    >>> manifest_schema()["title"], "files" in manifest_schema()["required"]
    ('recstream model manifest', True)
    """
    # to JSON and back: the defaults of tuples are lists there
    schema = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(Manifest)))
    parts = schema["$defs"]
    for part in parts.values():  # Python 3.13 indents no docstring
        part["description"] = cleandoc(part["description"])
    manifest = parts.pop("Manifest")
    manifest["required"].append("schema_version")  # always written, and refused without
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **manifest,
        "title": "recstream model manifest",
        "$defs": parts,
    }


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode_manifest(payload: bytes, version: str) -> Manifest:
    """Read and check the manifest of `version`.

    Raises
    ------
    DamagedVersion
        If it is not JSON, of another shape, of a newer schema, of another version, or names files
        outside of the version's folder.
    """
    try:
        schema = msgspec.json.decode(payload, type=_SchemaOnly).schema_version
        if schema > SCHEMA_VERSION:
            raise DamagedVersion(
                f"{version}: manifest of schema {schema}, this program reads up to "
                f"{SCHEMA_VERSION}; upgrade recstream"
            )
        manifest = msgspec.json.decode(payload, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedVersion(f"{version}: meta.json: {error}") from error
    if manifest.version != version or not is_version_name(version):
        raise DamagedVersion(f"{version}: its meta.json is that of version {manifest.version!r}")
    for path in manifest.files:
        parts = path.split("/")
        if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in parts):
            raise DamagedVersion(f"{version}: meta.json names a file outside its folder: {path!r}")
    return manifest


def content_digest(manifest: Manifest) -> str:
    """Return the SHA-256 of what the files of a version hold, whatever its name and manifest.

    The files are in the order of their names, each by its name and checksum.
    """
    files = sorted(manifest.files.items())
    return digest("".join(f"{name} {entry.sha256}\n" for name, entry in files).encode())


class _SchemaOnly(Struct):
    schema_version: int


def digest(payload: bytes) -> str:
    """Return the SHA-256 of `payload` as the manifest writes it."""
    return hashlib.sha256(payload).hexdigest()
