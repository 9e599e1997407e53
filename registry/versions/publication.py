"""Publication: how a version is written, so that nobody ever sees half of one.

Must not know how a version is learned or routed to, nor how it is read (`registry.versions.store`).

Publishing, step by step; a crash after any of them leaves the versions before it as they were:

1. the arrays are checked and written to a local folder;
2. the version's number is claimed by creating ``claims/v0.4``, which only one publisher can; a
   claim stays for ever, so no number is used twice;
3. the files are written, including additional ones that may name the version; then ``meta.sig`` if
  there is a key to sign with;
4. ``latest.txt`` is created if it does not exist, because without it readers rely on a listing,
  which shows two first publications in any order;
5. ``meta.json`` is created: now it is a version;
6. ``latest.txt`` is exchanged for the newest version's name, never for an older one.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import asdict

from registry.errors import ArtifactError, ConfigurationError
from registry.ids import VersionName
from registry.scoring.model_arrays import ModelArrays
from registry.scoring.tile_scan import share_read_of
from registry.storage.objects import Objects
from registry.versions.artifact_format import write_artifact
from registry.versions.checksums import entry_of
from registry.versions.file_cache import full_disk
from registry.versions.latest_version import LATEST, NONE_YET, named_latest, point_latest_to_newest
from registry.versions.manifest import (
    Description,
    FileEntry,
    Manifest,
    decode_manifest,
    encode_manifest,
)
from registry.versions.published_files import about
from registry.versions.published_versions import MANIFEST, SIGNATURE, names_in, newest_version
from registry.versions.signing import Keys, require_signing_key, sign

ARTIFACT: Final = "als"
CLAIMS: Final = "claims"
CHECKS: Final = "checks"
"""Objects that are there for a moment, to see whether they can be."""

FIRST_VERSION: Final = VersionName(0, 1)


def publish(
    objects: Objects,
    keys: Keys,
    arrays: ModelArrays,
    description: Description,
    extra: Mapping[str, Callable[[str], bytes]] = {},
) -> Manifest:
    """Publish the next minor version: :meth:`registry.versions.store.Store.publish`."""
    with about(f"{objects.url}: could not publish"), objects.staging() as staging:
        require_signing_key(keys)
        write_artifact(arrays, staging / ARTIFACT)
        further = {_further(name, staging): payload_of for name, payload_of in extra.items()}
        version = str(_claim(objects, description))
        for path, payload_of in further.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(payload_of(version))
        files = _files_in(staging)
        manifest = Manifest(
            version=version,
            files={name: _entry(path) for name, path in files.items()},
            share_read=share_read_of(arrays),
            **asdict(description),
        )
        payload = encode_manifest(manifest)
        decode_manifest(payload, version)  # what no reader would take is not published
        _upload(objects, version, files)
        try:
            _reveal(objects, keys, version, payload)
        except ArtifactError as error:
            if full_disk(error):  # then nothing was written, for certain
                _withdraw(objects, version)
            raise
    return manifest


def require_publishable(objects: Objects, keys: Keys, *, write: bool) -> None:
    """Check that a publication would find what it needs, as the store's method says."""
    with about(f"{objects.url}: nothing can be published"):
        named_latest(objects)
        if write:
            require_signing_key(keys)
            path = f"{CHECKS}/{uuid.uuid4().hex}"
            try:
                objects.create(path, b"before")
                objects.exchange(path, b"before", b"after")
            finally:
                objects.delete(path)


def delete_files(objects: Objects, version: str) -> None:
    """Remove what is left of a version that is hidden, or that was never published."""
    if objects.exists(f"{version}/{MANIFEST}"):
        raise ArtifactError(f"{version}: is published; its files stay")
    for file in objects.found(version):
        objects.delete(f"{version}/{file.path}")


def _claim(objects: Objects, description: Description) -> VersionName:
    claim = msgspec.json.encode({"by": description.created_by, "at": description.created_at})
    while True:
        named = named_latest(objects)  # claims of before this release were not kept
        taken = [*names_in(objects, ""), *names_in(objects, CLAIMS), *([named] if named else [])]
        version = max(taken).next_minor() if taken else FIRST_VERSION
        if not objects.create(f"{CLAIMS}/{version}", claim):
            continue  # another publisher was faster
        if objects.create(f"{CLAIMS}/{version}", claim):
            raise ConfigurationError(
                f"MODEL_REGISTRY={objects.url!r}: this storage ignores If-None-Match, so "
                f"publishers would overwrite each other's versions"
            )
        return version


def _upload(objects: Objects, version: str, files: Mapping[str, Path]) -> None:
    try:
        for name, path in files.items():
            if not objects.upload(f"{version}/{name}", path):
                raise ArtifactError(
                    f"{version}/{name}: already exists, and this publisher did not write it"
                )
    except BaseException:
        with contextlib.suppress(ArtifactError):  # the first error says more
            delete_files(objects, version)
        raise


def _reveal(objects: Objects, keys: Keys, version: str, payload: bytes) -> None:
    """Complete the version. If that fails, it may still have happened: everything stays."""
    if keys.can_sign:
        objects.create(f"{version}/{SIGNATURE}", sign(payload, keys))
    if objects.read_if_there(LATEST) is None:
        newest = newest_version(objects)
        objects.create(LATEST, f"{newest}\n".encode() if newest else NONE_YET)
    written = objects.create(f"{version}/{MANIFEST}", payload)
    # a storage whose answer got lost is asked again by its driver, and then finds our own
    if not written and objects.read(f"{version}/{MANIFEST}") != payload:
        raise ArtifactError(
            f"{version}/{MANIFEST}: already exists, and this publisher did not write it"
        )
    point_latest_to_newest(objects)


def _withdraw(objects: Objects, version: str) -> None:
    """Take back what a full disk left of a publication, which its publisher reports as failed.

    Unless ``latest.txt`` names it already: then it is a version like any other.
    """
    with contextlib.suppress(ArtifactError):  # the first error says more
        if str(named_latest(objects)) != version:
            objects.delete(f"{version}/{MANIFEST}")
            delete_files(objects, version)


def _further(name: str, folder: Path) -> Path:
    """Return the path of a further file in a version's `folder`; refuse one that is not free."""
    path = folder / name
    if name in (MANIFEST, SIGNATURE) or path.exists() or not _is_inside(path, folder):
        raise ArtifactError(f"{name!r}: this name is reserved; rename the file")
    return path


def _files_in(folder: Path) -> dict[str, Path]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        return entry_of(file)
