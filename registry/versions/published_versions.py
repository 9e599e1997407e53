"""Which versions are published, and which one is the newest: ``latest.txt`` and the folders.

Knows the registry's layout (PRODUCT.md §4), and that ``latest.txt`` only ever moves to a newer
version. Must not know what a version consists of.
"""

from __future__ import annotations

from typing import Final

from registry.errors import DamagedVersion
from registry.ids import VersionName, is_version_name
from registry.storage.objects import Objects

MANIFEST: Final = "meta.json"
SIGNATURE: Final = "meta.sig"
LATEST: Final = "latest.txt"
NONE_YET: Final = b"none\n"
"""What ``latest.txt`` holds until the first publication is through."""

REMOVED: Final = "removed"


def versions_in(objects: Objects) -> list[str]:
    """Return the published versions, oldest to newest; a missing folder holds none."""
    found = objects.existing([f"{name}/{MANIFEST}" for name in folders_in(objects)])
    return [path.partition("/")[0] for path in found]


def folders_in(objects: Objects) -> list[str]:
    """Return the versions of which there are files, published or not, oldest to newest."""
    return [str(name) for name in names_in(objects, "")]


def names_in(objects: Objects, folder: str) -> list[VersionName]:
    """Return the version names in `folder`, in order."""
    names = objects.names(folder)
    return sorted(VersionName.parse(name) for name in names if is_version_name(name))


def newest_version(objects: Objects) -> str | None:
    """Return the newest published version, whatever ``latest.txt`` names."""
    versions = versions_in(objects)
    return versions[-1] if versions else None


def latest_in(objects: Objects) -> str | None:
    """Return the version that ``latest.txt`` names, or the newest if there is no such file.

    Raises
    ------
    DamagedVersion
        If ``latest.txt`` names no published version.
    """
    held = objects.read_if_there(LATEST)
    if held is None:
        newest = newest_version(objects)
        held = objects.read_if_there(LATEST)  # it comes before a first version
        if held is None:
            return newest
    named = _parsed_latest(objects, held)
    if named is None:
        return None
    if not objects.exists(f"{named}/{MANIFEST}"):
        raise DamagedVersion(
            f"{LATEST} names {named}, which is not published; delete {objects.url}/{LATEST} to "
            f"use the newest version"
        )
    return str(named)


def named_latest(objects: Objects) -> VersionName | None:
    """Return what ``latest.txt`` names; None if it is not there, or names none yet."""
    return _parsed_latest(objects, objects.read_if_there(LATEST))


def _parsed_latest(objects: Objects, payload: bytes | None) -> VersionName | None:
    if payload is None or payload == NONE_YET:
        return None
    name = payload.decode("utf-8", "replace").strip()
    if not is_version_name(name):
        raise DamagedVersion(
            f"{LATEST} holds {name[:40]!r}, not a version; delete {objects.url}/{LATEST} to use "
            f"the newest one"
        )
    return VersionName.parse(name)


def point_latest_to_newest(objects: Objects) -> None:
    """Exchange ``latest.txt`` for the newest version's name, never for an older one."""
    while True:
        held = objects.read_if_there(LATEST)
        named, newest = _parsed_latest(objects, held), VersionName.parse(versions_in(objects)[-1])
        if named is not None and named >= newest:
            return
        objects.exchange(LATEST, held, f"{newest}\n".encode())
