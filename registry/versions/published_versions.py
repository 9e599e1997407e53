"""Which versions are published, by the registry's folders, and which one is the newest.

Knows the registry's layout (PRODUCT.md §4). Must not know what a version consists of.
"""

from __future__ import annotations

from typing import Final

from registry.ids import VersionName, is_version_name
from registry.storage.objects import Objects

MANIFEST: Final = "meta.json"
SIGNATURE: Final = "meta.sig"
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
