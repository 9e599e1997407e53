"""The versions of a registry, with what points to them: ``latest``, labels and pins.

Reads the store. Must not know how a listing is shown.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from registry.errors import ArtifactError
from registry.versions.manifest import Manifest
from registry.versions.store import Store
from registry.versions.version_labels import Labels, Mark


class Marks(Struct, frozen=True, omit_defaults=True):
    """``latest``, the labels and the pins of a registry."""

    latest: str | None
    labels: dict[str, Mark] = {}
    pins: dict[str, Mark] = {}


class Listing(Marks, frozen=True, omit_defaults=True, kw_only=True):
    """The versions of a registry; one whose manifest cannot be read is among the problems."""

    versions: list[Manifest]
    problems: dict[str, str] = {}


def marks_in(store: Store, labels: Labels) -> Marks:
    """Return what points to versions of `store`, without reading manifests."""
    return Marks(store.latest(), labels.labels(), labels.pins())


def listing_of(store: Store, labels: Labels) -> Listing:
    """Return the versions of `store`."""
    manifests, problems = [], {}
    for version in store.versions():
        try:
            manifests.append(store.manifest(version))
        except ArtifactError as error:
            problems[version] = str(error)
    marks = msgspec.structs.asdict(marks_in(store, labels))
    return Listing(**marks, versions=manifests, problems=problems)
