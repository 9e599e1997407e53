"""A published version's files: each is verified against the manifest where it is opened.

Knows local files, which are mapped directly, and those that come through the cache. Must
not know how a version is written (`registry.versions.publication`).
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path

from registry.errors import ArtifactError, DamagedVersion
from registry.storage.objects import Objects
from registry.storage.storage_kinds import Found
from registry.versions.checksums import require_entry
from registry.versions.file_cache import Cache
from registry.versions.manifest import FileEntry, Manifest
from registry.versions.published_versions import MANIFEST, SIGNATURE


@contextlib.contextmanager
def opener(
    objects: Objects, cache: Cache | None, manifest: Manifest
) -> Iterator[Callable[[str], BufferedReader]]:
    """Yield what opens a file of a version by its name, verified."""
    folder = objects.folder
    if folder is not None:
        yield lambda name: _opened(folder / manifest.version / name, name, manifest)
        return
    with contextlib.ExitStack() as held:
        files = cache or Cache(
            Path(held.enter_context(tempfile.TemporaryDirectory(prefix="recstream-")))
        )
        yield lambda name: _fetched(objects, files, name, manifest)


def _fetched(objects: Objects, cache: Cache, name: str, manifest: Manifest) -> BufferedReader:
    path = f"{manifest.version}/{name}"
    with about(name, " "):
        entry = _listed(name, manifest)
        return cache.open(entry, lambda to: objects.download(path, to))


def _opened(path: Path, name: str, manifest: Manifest) -> BufferedReader:
    with about(name, " "):
        entry = _listed(name, manifest)
        file = path.open("rb")
        require_entry(file, entry)
        return file


def _listed(name: str, manifest: Manifest) -> FileEntry:
    entry = manifest.files.get(name)
    if entry is None:
        raise DamagedVersion("is not in the manifest")
    return entry


def check_listing(manifest: Manifest, listed: list[Found]) -> None:
    """Check what shows without reading: no file too few or too many, none of another size."""
    sizes = {found.path: found.size_bytes for found in listed}
    for name in (MANIFEST, SIGNATURE):
        sizes.pop(name, None)
    if missing := sorted(manifest.files.keys() - sizes.keys()):
        raise DamagedVersion(f"{missing[0]} is missing")
    if extra := sorted(sizes.keys() - manifest.files.keys()):
        raise DamagedVersion(f"{extra[0]} is not in the manifest")
    for name, entry in manifest.files.items():
        if sizes[name] != entry.bytes:
            raise DamagedVersion(
                f"{name} has changed: {sizes[name]} bytes, published were {entry.bytes}"
            )


@contextlib.contextmanager
def about(what: str, damaged: str = ": ") -> Iterator[None]:
    """Prefix the block's errors with their subject; `damaged` joins it to a damage."""
    try:
        yield
    except DamagedVersion as error:
        raise DamagedVersion(f"{what}{damaged}{error}") from error
    except (ArtifactError, OSError) as error:
        raise ArtifactError(f"{what}: {error}") from error
