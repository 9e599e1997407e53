"""``latest.txt``: which version is ``latest``; it only ever moves to a newer one."""

from __future__ import annotations

from typing import Final

from registry.errors import DamagedVersion
from registry.ids import VersionName, is_version_name
from registry.storage.objects import Objects
from registry.versions.published_versions import MANIFEST, newest_version, versions_in

LATEST: Final = "latest.txt"
NONE_YET: Final = b"none\n"
"""What ``latest.txt`` holds until the first publication is through."""


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
