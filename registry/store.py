"""The store: published model versions in a folder, each immutable and either whole or not there.

Knows the registry's folder layout (PRODUCT.md §4) and the order of writing that keeps half a
version invisible. Must not know how a version is learned or routed to.

Publishing, step by step; a crash after any of them leaves the versions before it as they were:

1. the arrays are checked;
2. the version's number is claimed by making its folder, which only one publisher can;
3. the artifact is written and synced to disk;
4. under a lock, so that two publishers' steps 4 and 5 never mix: ``meta.json``, with every file's
   checksum, is written beside and renamed: now it is a version;
5. ``latest.txt`` is replaced in the same way by the newest version's name, never by an older one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import fsspec
from fsspec.implementations.local import LocalFileSystem
from msgspec import Struct

from registry.artifact import ModelArrays, check_arrays, read_artifact, write_artifact
from registry.errors import ArtifactError, ConfigurationError, DamagedVersion, UnknownVersion
from registry.ids import VersionName, is_version_name
from registry.manifest import (
    DataSnapshot,
    FileEntry,
    Gate,
    Manifest,
    Parameters,
    Provenance,
    decode_manifest,
    encode_manifest,
)
from registry.model import Model

MANIFEST: Final = "meta.json"
LATEST: Final = "latest.txt"
ARTIFACT: Final = "als"
FIRST_VERSION: Final = VersionName(0, 1)


class Description(Struct, frozen=True, kw_only=True):
    """What the publisher says of a version: the manifest without its name and files."""

    model_name: str
    created_at: str
    created_by: str
    git_sha: str
    image_digest: str
    data_snapshot: DataSnapshot
    parameters: Parameters
    metrics: dict[str, float]
    gate: Gate
    provenance: Provenance | None = None
    intervals: dict[str, tuple[float, float]] = {}


class Store:
    """The registry at one fsspec URL; a local folder for now.

    Parameters
    ----------
    url
        A path or a ``file://`` URL. The folder is made by the first publication.

    Raises
    ------
    ConfigurationError
        If the URL is of another file system.
    """

    def __init__(self, url: str) -> None:
        try:
            file_system, root = fsspec.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ConfigurationError(f"MODEL_REGISTRY={url!r}: {error}") from error
        if not isinstance(file_system, LocalFileSystem):
            raise ConfigurationError(
                f"MODEL_REGISTRY={url!r}: must be a folder of this machine, a path or file:// URL"
            )
        self.root = Path(root)

    def versions(self) -> list[str]:
        """Return the published versions, oldest to newest; a missing folder holds none."""
        return [str(name) for name in self._folders() if self._is_published(name)]

    def latest(self) -> str | None:
        """Return the version that ``latest.txt`` names, or the newest if there is no such file.

        Raises
        ------
        DamagedVersion
            If ``latest.txt`` names no published version.
        """
        versions = self.versions()  # before latest.txt, which then can only say the same or newer
        named = self._named_latest()
        if named is None:
            return versions[-1] if versions else None
        if not self._is_published(named):
            raise DamagedVersion(
                f"{LATEST} names {named}, which is not published; delete {self.root / LATEST} to "
                "go by the newest version"
            )
        return str(named)

    def manifest(self, version: str) -> Manifest:
        """Return the manifest of `version`; its files are not looked at.

        Raises
        ------
        UnknownVersion
            If there is no such version.
        DamagedVersion
            If its manifest is unreadable or of another version.
        """
        if not is_version_name(version):
            raise UnknownVersion(f"version {version!r}: must look like v0.3 (vMAJOR.MINOR)")
        try:
            payload = (self.root / version / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            held = ", ".join(self.versions()) or "no version"
            raise UnknownVersion(
                f"version {version}: not in {self.root}, which holds {held}"
            ) from None
        except OSError as error:
            raise ArtifactError(f"{version}: {MANIFEST}: {error}") from error
        return decode_manifest(payload, version)

    def publish(
        self, arrays: ModelArrays, description: Description, extra: Mapping[str, bytes] = {}
    ) -> Manifest:
        """Publish the next minor version; any number of publishers may do so at once.

        A version is never changed afterwards. If this raises before the manifest is in place,
        its folder is removed; a publisher that is killed leaves a folder that is no version,
        and whose number is skipped.

        Raises
        ------
        DamagedVersion
            If the arrays are not fit to be served, or ``latest.txt`` is unreadable.
        ArtifactError
            If the files cannot be written.
        """
        check_arrays(arrays)
        with _as_artifact_error(f"{self.root}: could not publish"):
            version = self._claim()
            folder = self.root / str(version)
            try:
                manifest = _write_artifact(folder, arrays, description, extra)
                with _locked(self.root / ".lock"):
                    _write_beside_and_rename(folder / MANIFEST, encode_manifest(manifest))
                    self._point_latest_to_newest()
            except BaseException:
                if not (folder / MANIFEST).exists():
                    shutil.rmtree(folder, ignore_errors=True)
                raise
        return manifest

    def verify(self, version: str) -> Manifest:
        """Check every file of `version` against its manifest, and what the arrays hold.

        Raises
        ------
        UnknownVersion
            If there is no such version.
        DamagedVersion
            Naming the file that is missing, extra or changed, or the array that is wrong.
        """
        return self._verified(version)[0]

    def open(self, version: str) -> Model:
        """Verify `version` and return its model, memory-mapped.

        Raises
        ------
        UnknownVersion, DamagedVersion
            As :meth:`verify`.
        """
        return Model(*self._verified(version))

    def _verified(self, version: str) -> tuple[Manifest, ModelArrays]:
        manifest = self.manifest(version)
        folder = self.root / version
        with _as_artifact_error(f"{version}: not readable"):
            try:
                _check_files(folder, manifest)
                return manifest, read_artifact(folder / ARTIFACT)
            except DamagedVersion as error:
                raise DamagedVersion(f"{version}: {error}") from error

    def _folders(self) -> list[VersionName]:
        """Return the names that are taken, published or not, in order."""
        with _as_artifact_error(f"{self.root}: not readable"):
            if not self.root.exists():
                return []
            names = [entry.name for entry in self.root.iterdir()]
        return sorted(VersionName.parse(name) for name in names if is_version_name(name))

    def _is_published(self, name: VersionName) -> bool:
        return (self.root / str(name) / MANIFEST).is_file()

    def _named_latest(self) -> VersionName | None:
        with _as_artifact_error(f"{LATEST}: not readable"):
            if not (self.root / LATEST).exists():
                return None
            name = (self.root / LATEST).read_text("utf-8", "replace").strip()
        if not is_version_name(name):
            raise DamagedVersion(
                f"{LATEST} holds {name[:40]!r}, not a version; delete {self.root / LATEST} to go "
                "by the newest one"
            )
        return VersionName.parse(name)

    def _claim(self) -> VersionName:
        self.root.mkdir(parents=True, exist_ok=True)
        while True:
            named = self._named_latest()  # its folder may be gone; its number is not used again
            taken = [*self._folders(), *([named] if named else [])]
            version = max(taken).next_minor() if taken else FIRST_VERSION
            try:
                (self.root / str(version)).mkdir()
            except FileExistsError:
                continue  # another publisher was faster
            return version

    def _point_latest_to_newest(self) -> None:
        named, newest = self._named_latest(), VersionName.parse(self.versions()[-1])
        if named is None or named < newest:
            _write_beside_and_rename(self.root / LATEST, f"{newest}\n".encode())


def _write_artifact(
    folder: Path, arrays: ModelArrays, description: Description, extra: Mapping[str, bytes]
) -> Manifest:
    write_artifact(arrays, folder / ARTIFACT)
    for name, payload in extra.items():
        (folder / name).write_bytes(payload)
    paths = _files_of(folder)
    for path in [*(folder / name for name in paths), folder / ARTIFACT, folder.parent]:
        _sync(path)
    return Manifest(
        version=folder.name,
        files={name: _entry(folder / name) for name in paths},
        **{name: getattr(description, name) for name in Description.__struct_fields__},
    )


def _check_files(folder: Path, manifest: Manifest) -> None:
    found = set(_files_of(folder))
    if missing := sorted(manifest.files.keys() - found):
        raise DamagedVersion(f"{missing[0]} is missing")
    if extra := sorted(found - manifest.files.keys()):
        raise DamagedVersion(f"{extra[0]} is not in the manifest")
    for name, entry in manifest.files.items():
        seen = _entry(folder / name)
        if seen != entry:
            raise DamagedVersion(
                f"{name} has changed: {seen.bytes} bytes with SHA-256 {seen.sha256[:12]}…, "
                f"published were {entry.bytes} with {entry.sha256[:12]}…"
            )


def _files_of(folder: Path) -> list[str]:
    """Return the paths of all files but the manifest, relative to `folder`."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if path != MANIFEST)


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(checksum, os.fstat(file.fileno()).st_size)


def _write_beside_and_rename(path: Path, payload: bytes) -> None:
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(payload)
    _sync(beside)
    beside.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _as_artifact_error(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"{what}: {error}") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the system releases it if this process is killed."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
