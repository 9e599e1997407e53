"""Labels and pins: what people record about versions, in small objects beside them.

Knows how a name points to a version, and what may not be removed. Must not know why. A label, like
``stable``, is a pointer that moves; a pin keeps one version from garbage collection. Both are
outside the manifest, which never changes: ``labels/stable.json`` and ``pins/v0.4.json``.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Struct

from registry.errors import ArtifactError, ConfigurationError, DamagedVersion
from registry.ids import is_version_name
from registry.versions.store import Store

LABELS: Final = "labels"
PINS: Final = "pins"
LATEST: Final = "latest"
SUFFIX: Final = ".json"

_LABEL: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


class Mark(Struct, frozen=True):
    """One label or pin: on which version, by whom, when (ISO 8601) and why."""

    version: str
    by: str
    at: str
    reason: str | None = None


class Labels:
    """The labels and pins of one registry."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._objects = store.objects

    def labels(self) -> dict[str, Mark]:
        """Return all labels, by name."""
        return self._marks(LABELS)

    def pins(self) -> dict[str, Mark]:
        """Return all pins, by version."""
        return self._marks(PINS)

    def label(self, name: str) -> Mark | None:
        """Return where `name` points to; None if there is no such label."""
        return self._mark(LABELS, require_label(name))

    def promote(self, name: str, mark: Mark) -> Mark | None:
        """Point the label `name` to a version; return where it pointed before.

        Readers see the old version or the new one. Of two who move it at once one is refused.

        Raises
        ------
        UnknownVersion
            If there is no such version.
        ArtifactError
            If somebody else moved it meanwhile, or the version was removed meanwhile.
        """
        self._store.manifest(mark.version)
        path = f"{LABELS}/{require_label(name)}{SUFFIX}"
        before = self._objects.read_if_there(path)
        if not self._objects.exchange(path, before, msgspec.json.encode(mark)):
            raise ArtifactError(
                f"label {name}: was moved by somebody else meanwhile; check it and try again"
            )
        self._store.manifest(mark.version)
        return None if before is None else _decoded(path, before)

    def remove(self, name: str) -> None:
        """Remove a label.

        Raises
        ------
        ArtifactError
            If there is none of that name.
        """
        self._remove(LABELS, require_label(name))

    def pin(self, mark: Mark) -> None:
        """Keep a version from being removed; a pin that already exists is replaced.

        Raises
        ------
        UnknownVersion
            If there is no such version.
        """
        self._store.manifest(mark.version)
        self._objects.replace(f"{PINS}/{mark.version}{SUFFIX}", msgspec.json.encode(mark))
        self._store.manifest(mark.version)  # garbage collection may have been faster

    def unpin(self, version: str) -> None:
        """Take a pin back.

        Raises
        ------
        ArtifactError
            If the version is not pinned.
        """
        self._remove(PINS, version)

    def resolve(self, name: str) -> str:
        """Return the version that `name` refers to: itself, ``latest``, or a label's.

        Raises
        ------
        ArtifactError
            If there is no such label, or no version yet.
        """
        if is_version_name(name):
            return name
        if name == LATEST:
            latest = self._store.latest()
            if latest is None:
                raise ArtifactError(f"latest: {self._store.url} holds no version yet")
            return latest
        mark = self.label(name)
        if mark is None:
            known = ", ".join([LATEST, *self.labels()])
            raise ArtifactError(
                f"{name!r}: neither a version like v0.3 nor a label; known: {known}"
            )
        return mark.version

    def _marks(self, folder: str) -> dict[str, Mark]:
        names = [name.removesuffix(SUFFIX) for name in self._objects.names(folder)]
        marks = {name: self._mark(folder, name) for name in names}
        return {name: mark for name, mark in marks.items() if mark is not None}

    def _mark(self, folder: str, name: str) -> Mark | None:
        path = f"{folder}/{name}{SUFFIX}"
        payload = self._objects.read_if_there(path)
        return None if payload is None else _decoded(path, payload)

    def _remove(self, folder: str, name: str) -> None:
        path = f"{folder}/{name}{SUFFIX}"
        if not self._objects.exists(path):
            known = ", ".join(self._marks(folder)) or "none"
            raise ArtifactError(f"{name}: not in {folder}, which hold {known}")
        self._objects.delete(path)


def require_label(name: str) -> str:
    """Return `name` if a label may be called that.

    >>> require_label("stable")
    'stable'

    Raises
    ------
    ConfigurationError
        Else.
    """
    if _LABEL.fullmatch(name) is None or is_version_name(name) or name == LATEST:
        raise ConfigurationError(
            f"label {name!r}: must be at most 63 lower-case letters, digits and hyphens, "
            f"beginning with a letter; {LATEST!r} is always the newest version"
        )
    return name


def _decoded(path: str, payload: bytes) -> Mark:
    try:
        mark = msgspec.json.decode(payload, type=Mark)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedVersion(f"{path}: {error}") from error
    if not is_version_name(mark.version):
        raise DamagedVersion(f"{path}: names {mark.version!r}, not a version")
    return mark
