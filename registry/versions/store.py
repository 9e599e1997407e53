"""The store: published model versions at one URL, each immutable and either whole or not there.

Knows the registry's layout (PRODUCT.md §4) and the order of writing that keeps half a version
invisible. Must not know how a version is learned or routed to.

Publishing, step by step; a crash after any of them leaves the versions before it as they were:

1. the arrays are checked and written to a folder of this machine;
2. the version's number is claimed by creating ``claims/v0.4``, which only one publisher can; a
   claim stays for ever, so no number is used twice;
3. the files are written, further ones too, that may name the version; then ``meta.sig`` if there
   is a key to sign with;
4. ``latest.txt`` is created if it is not there, so that no reader goes by a listing any more, which
   shows two first publications in any order;
5. ``meta.json`` is created: now it is a version;
6. ``latest.txt`` is exchanged for the newest version's name, never for an older one.

Removing goes the other way: first the manifest moves to ``removed/``, so that nobody begins to
read the version; the files follow later, when whoever had begun has ended.
"""

from __future__ import annotations

import contextlib
import errno
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from registry.errors import ArtifactError, ConfigurationError, DamagedVersion, UnknownVersion
from registry.ids import VersionName, is_version_name
from registry.settings import Settings
from registry.storage.base import Found
from registry.storage.objects import MissingObject, Objects
from registry.versions.artifact import read_artifact, write_artifact
from registry.versions.file_cache import Cache, entry_of, require_entry
from registry.versions.heap_trim import trim_memory
from registry.versions.manifest import (
    FileEntry,
    Manifest,
    Parameters,
    TrainingProvenance,
    decode_manifest,
    encode_manifest,
)
from registry.versions.model import Model
from registry.versions.model_arrays import ModelArrays
from registry.versions.signing import (
    NO_KEYS,
    Keys,
    read_keys,
    require_signature,
    require_signing_key,
    sign,
)
from registry.wire.gate_results import DataSnapshot, Gate

MANIFEST: Final = "meta.json"
SIGNATURE: Final = "meta.sig"
LATEST: Final = "latest.txt"
NONE_YET: Final = b"none\n"
"""What ``latest.txt`` holds until the first publication is through."""

ARTIFACT: Final = "als"
CLAIMS: Final = "claims"
REMOVED: Final = "removed"
CHECKS: Final = "checks"
"""Objects that are there for a moment, to see whether they can be."""

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
    provenance: TrainingProvenance | None = None
    intervals: dict[str, tuple[float, float]] = {}


class Store:
    """The registry at one URL.

    Parameters
    ----------
    url
        As :class:`registry.storage.objects.Objects` takes it. A folder is made by the first
        publication.
    cache
        Where files of a registry elsewhere are kept; None: each is fetched anew, and kept no
        longer than it is mapped. A folder of this machine is mapped directly, without a cache.
    keys
        With them, versions are signed, and one that none of them signed is refused.

    Raises
    ------
    ConfigurationError
        If the URL is of no known file system.
    """

    def __init__(self, url: str, *, cache: Cache | None = None, keys: Keys = NO_KEYS) -> None:
        self.objects = Objects(url)
        self.url = url
        self._cache = cache
        self._keys = keys

    @property
    def root(self) -> Path:
        """The folder of a registry of this machine.

        Raises
        ------
        ConfigurationError
            If it is elsewhere.
        """
        if self.objects.folder is None:
            raise ConfigurationError(f"MODEL_REGISTRY={self.url!r}: is no folder of this machine")
        return self.objects.folder

    def versions(self) -> list[str]:
        """Return the published versions, oldest to newest; a missing folder holds none."""
        found = self.objects.existing([f"{name}/{MANIFEST}" for name in self.folders()])
        return [path.partition("/")[0] for path in found]

    def latest(self) -> str | None:
        """Return the version that ``latest.txt`` names, or the newest if there is no such file.

        Raises
        ------
        DamagedVersion
            If ``latest.txt`` names no published version.
        """
        held = self.objects.read_if_there(LATEST)
        if held is None:
            newest = self._newest()
            held = self.objects.read_if_there(LATEST)  # it comes before a first version
            if held is None:
                return newest
        named = self._parsed_latest(held)
        if named is None:
            return None
        if not self.objects.exists(f"{named}/{MANIFEST}"):
            raise DamagedVersion(
                f"{LATEST} names {named}, which is not published; delete {self.url}/{LATEST} to "
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
            If its manifest is unreadable, of another version, or not signed as it must be.
        """
        if not is_version_name(version):
            raise UnknownVersion(f"version {version!r}: must look like v0.3 (vMAJOR.MINOR)")
        try:
            payload = self.objects.read(f"{version}/{MANIFEST}")
        except MissingObject:
            held = ", ".join(self.versions()) or "no version"
            raise UnknownVersion(
                f"version {version}: not in {self.url}, which holds {held}"
            ) from None
        if self._keys.must_be_signed:
            signature = self.objects.read_if_there(f"{version}/{SIGNATURE}")
            with _about(version, " "):
                require_signature(payload, signature, self._keys)
        return decode_manifest(payload, version)

    def publish(
        self,
        arrays: ModelArrays,
        description: Description,
        extra: Mapping[str, Callable[[str], bytes]] = {},
    ) -> Manifest:
        """Publish the next minor version; any number of publishers may do so at once.

        A version is never changed afterwards. If this raises before the manifest is written, the
        files are removed; a publisher that is killed leaves files that are no version, which
        garbage collection finds. Either way the number is skipped.

        Parameters
        ----------
        arrays
            What it serves with.
        description
            What is said of it.
        extra
            Further files by name, like a report, each as a function of the version; verified with
            the others, not needed to serve.

        Raises
        ------
        DamagedVersion
            If the arrays are not fit to be served, the manifest would not be readable, or
            ``latest.txt`` is unreadable.
        ArtifactError
            If the files cannot be written.
        """
        with _about(f"{self.url}: could not publish"), self.objects.staging() as staging:
            require_signing_key(self._keys)
            write_artifact(arrays, staging / ARTIFACT)
            further = {_further(name, staging): payload_of for name, payload_of in extra.items()}
            version = str(self._claim(description))
            for path, payload_of in further.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(payload_of(version))
            files = _files_in(staging)
            manifest = Manifest(
                version=version,
                files={name: _entry(path) for name, path in files.items()},
                **{name: getattr(description, name) for name in Description.__struct_fields__},
            )
            payload = encode_manifest(manifest)
            decode_manifest(payload, version)  # what no reader would take is not published
            self._upload(version, files)
            try:
                self._reveal(version, payload)
            except ArtifactError as error:
                if _is_full(error):
                    self._withdraw(version)
                raise
        return manifest

    def require_publishable(self, *, write: bool = True) -> None:
        """Check that a publication would find what it needs; for the time before a long fit.

        Parameters
        ----------
        write
            Try it: an object is written, exchanged and removed.

        Raises
        ------
        ArtifactError
            If nothing can be written or exchanged, or there is no key to sign with;
            DamagedVersion if ``latest.txt`` is unreadable.
        """
        with _about(f"{self.url}: nothing can be published"):
            self._named_latest()
            if write:
                require_signing_key(self._keys)
                path = f"{CHECKS}/{uuid.uuid4().hex}"
                try:
                    self.objects.create(path, b"before")
                    self.objects.exchange(path, b"before", b"after")
                finally:
                    self.objects.delete(path)

    def require_files(self, version: str) -> None:
        """Check that `version` is published and its files are listed, without reading them.

        Raises
        ------
        UnknownVersion, DamagedVersion
            As :meth:`verify`, as far as it shows without reading.
        """
        manifest = self.manifest(version)
        with _about(version):
            _check_listing(manifest, self.objects.found(version))

    def verify(self, version: str) -> Manifest:
        """Check every file of `version` against its manifest, and what the arrays hold.

        Raises
        ------
        UnknownVersion
            If there is no such version.
        DamagedVersion
            Naming the file that is missing, extra or changed, or the array that is wrong.
        """
        manifest, listed = self.manifest(version), self.objects.found(version)
        unread = set(manifest.files)
        with _about(version), self._opener(manifest) as open_file:

            def of_artifact(name: str) -> BufferedReader:
                unread.discard(f"{ARTIFACT}/{name}")
                return open_file(f"{ARTIFACT}/{name}")

            _check_listing(manifest, listed)
            read_artifact(of_artifact)
            for name in sorted(unread):
                open_file(name).close()
        return manifest

    def open(self, version: str) -> Model:
        """Verify `version` and return its model, memory-mapped.

        Raises
        ------
        UnknownVersion, DamagedVersion
            As :meth:`verify`; files that are not needed to serve are only listed.
        """
        manifest, listed = self.manifest(version), self.objects.found(version)
        with _about(version), self._opener(manifest) as open_file:
            _check_listing(manifest, listed)
            model = Model(manifest, read_artifact(lambda name: open_file(f"{ARTIFACT}/{name}")))
        trim_memory()
        return model

    def read(self, version: str, name: str) -> bytes:
        """Return one file of `version`, verified.

        Raises
        ------
        UnknownVersion
            If there is no such version.
        DamagedVersion
            If it has no such file, or the file has changed.
        """
        manifest = self.manifest(version)
        with _about(version), self._opener(manifest) as open_file, open_file(name) as file:
            return file.read()

    def hide(self, version: str) -> None:
        """Make `version` unknown; its files stay for those who are reading them, and its manifest
        in ``removed/``, so that :meth:`restore` can bring it back.

        Raises
        ------
        MissingObject
            If there is no such version.
        """
        payload = self.objects.read(f"{version}/{MANIFEST}")
        self.objects.replace(f"{REMOVED}/{version}.json", payload)
        self.objects.delete(f"{version}/{MANIFEST}")

    def restore(self, version: str) -> None:
        """Take back a :meth:`hide` whose files are still there.

        Raises
        ------
        MissingObject
            If it was not hidden.
        DamagedVersion
            If its files are gone.
        """
        payload = self.objects.read(f"{REMOVED}/{version}.json")
        with _about(version):
            _check_listing(decode_manifest(payload, version), self.objects.found(version))
        self.objects.create(f"{version}/{MANIFEST}", payload)

    def delete_files(self, version: str) -> None:
        """Remove what is left of a version that is hidden, or that was never published.

        Raises
        ------
        ArtifactError
            If it is published.
        """
        if self.objects.exists(f"{version}/{MANIFEST}"):
            raise ArtifactError(f"{version}: is published; its files stay")
        for one in self.objects.found(version):
            self.objects.delete(f"{version}/{one.path}")

    def folders(self) -> list[str]:
        """Return the versions of which there are files, published or not, oldest to newest."""
        return [str(name) for name in self._named("")]

    def _named(self, folder: str) -> list[VersionName]:
        """Return the version names in `folder`, in order."""
        names = self.objects.names(folder)
        return sorted(VersionName.parse(name) for name in names if is_version_name(name))

    def _newest(self) -> str | None:
        versions = self.versions()
        return versions[-1] if versions else None

    def _named_latest(self) -> VersionName | None:
        return self._parsed_latest(self.objects.read_if_there(LATEST))

    def _parsed_latest(self, payload: bytes | None) -> VersionName | None:
        if payload is None or payload == NONE_YET:
            return None
        name = payload.decode("utf-8", "replace").strip()
        if not is_version_name(name):
            raise DamagedVersion(
                f"{LATEST} holds {name[:40]!r}, not a version; delete {self.url}/{LATEST} to go "
                "by the newest one"
            )
        return VersionName.parse(name)

    def _claim(self, description: Description) -> VersionName:
        claim = msgspec.json.encode({"by": description.created_by, "at": description.created_at})
        while True:
            named = self._named_latest()  # claims of before this release were not kept
            taken = [*self._named(""), *self._named(CLAIMS), *([named] if named else [])]
            version = max(taken).next_minor() if taken else FIRST_VERSION
            if not self.objects.create(f"{CLAIMS}/{version}", claim):
                continue  # another publisher was faster
            if self.objects.create(f"{CLAIMS}/{version}", claim):
                raise ConfigurationError(
                    f"MODEL_REGISTRY={self.url!r}: this storage overwrites what was to be created "
                    "once (it ignores If-None-Match), so publishers would destroy each other's "
                    "versions"
                )
            return version

    def _upload(self, version: str, files: Mapping[str, Path]) -> None:
        try:
            for name, path in files.items():
                if not self.objects.upload(f"{version}/{name}", path):
                    raise ArtifactError(f"{version}/{name}: is there already, and not from us")
        except BaseException:
            with contextlib.suppress(ArtifactError):  # the first error says more
                self.delete_files(version)
            raise

    def _reveal(self, version: str, payload: bytes) -> None:
        """Write what makes it a version. If that fails, it may still have happened: all stays."""
        if self._keys.can_sign:
            self.objects.create(f"{version}/{SIGNATURE}", sign(payload, self._keys))
        if self.objects.read_if_there(LATEST) is None:
            newest = self._newest()
            self.objects.create(LATEST, f"{newest}\n".encode() if newest else NONE_YET)
        written = self.objects.create(f"{version}/{MANIFEST}", payload)
        # a storage whose answer got lost is asked again by its driver, and then finds our own
        if not written and self.objects.read(f"{version}/{MANIFEST}") != payload:
            raise ArtifactError(f"{version}/{MANIFEST}: is there already, and not from us")
        self._point_latest_to_newest()

    def _withdraw(self, version: str) -> None:
        """Take back what a full disk left of a publication, which its publisher reports as failed.

        Unless ``latest.txt`` names it already: then it is a version like any other.
        """
        with contextlib.suppress(ArtifactError):  # the first error says more
            if str(self._named_latest()) != version:
                self.objects.delete(f"{version}/{MANIFEST}")
                self.delete_files(version)

    def _point_latest_to_newest(self) -> None:
        while True:
            held = self.objects.read_if_there(LATEST)
            named, newest = self._parsed_latest(held), VersionName.parse(self.versions()[-1])
            if named is not None and named >= newest:
                return
            self.objects.exchange(LATEST, held, f"{newest}\n".encode())

    @contextlib.contextmanager
    def _opener(self, manifest: Manifest) -> Iterator[Callable[[str], BufferedReader]]:
        """Yield what opens a file of a version by its name, verified."""
        folder = self.objects.folder
        if folder is not None:
            yield lambda name: _opened(folder / manifest.version / name, name, manifest)
            return
        with contextlib.ExitStack() as held:
            cache = self._cache or Cache(
                Path(held.enter_context(tempfile.TemporaryDirectory(prefix="recstream-")))
            )
            yield lambda name: self._fetched(cache, name, manifest)

    def _fetched(self, cache: Cache, name: str, manifest: Manifest) -> BufferedReader:
        path = f"{manifest.version}/{name}"
        with _about(name, " "):
            entry = _listed(name, manifest)
            return cache.open(entry, lambda to: self.objects.download(path, to))


def store_of(settings: Settings) -> Store:
    """Return the registry that `settings` name, with its cache and keys.

    Raises
    ------
    ConfigurationError
        If the registry's URL or a key cannot be used.
    """
    try:
        folder = Path(settings.model_cache).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(
            f"RECSTREAM_MODEL_CACHE={settings.model_cache!r}: {error}"
        ) from error
    return Store(
        settings.model_registry,
        cache=Cache(folder, settings.model_cache_bytes),
        keys=keys_of(settings),
    )


def keys_of(settings: Settings) -> Keys:
    """Return the keys that `settings` hold.

    Raises
    ------
    ConfigurationError
        If one cannot be used, or if they contradict one another.
    """
    return read_keys(
        settings.signing_key.get_secret_value(),
        settings.signing_private_key.get_secret_value(),
        settings.signing_public_keys,
    )


def _is_full(error: BaseException | None) -> bool:
    """Tell whether a disk without room is the reason: then nothing was written, for certain."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


def _further(name: str, folder: Path) -> Path:
    """Return the path of a further file in a version's `folder`; refuse one that is not free."""
    path = folder / name
    if name in (MANIFEST, SIGNATURE) or path.exists() or not _is_inside(path, folder):
        raise ArtifactError(f"{name!r}: a further file cannot have this name")
    return path


def _files_in(folder: Path) -> dict[str, Path]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _is_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        return entry_of(file)


def _opened(path: Path, name: str, manifest: Manifest) -> BufferedReader:
    with _about(name, " "):
        entry = _listed(name, manifest)
        file = path.open("rb")
        require_entry(file, entry)
        return file


def _listed(name: str, manifest: Manifest) -> FileEntry:
    entry = manifest.files.get(name)
    if entry is None:
        raise DamagedVersion("is not in the manifest")
    return entry


def _check_listing(manifest: Manifest, listed: list[Found]) -> None:
    """Check what shows without reading: no file too few or too many, none of another size."""
    sizes = {one.path: one.size_bytes for one in listed}
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
def _about(what: str, damaged: str = ": ") -> Iterator[None]:
    """Let the block's errors begin with what they are about; `damaged` joins it to a damage."""
    try:
        yield
    except DamagedVersion as error:
        raise DamagedVersion(f"{what}{damaged}{error}") from error
    except ConfigurationError:
        raise
    except ArtifactError as error:
        raise ArtifactError(f"{what}: {error}") from error
    except OSError as error:
        raise ArtifactError(f"{what}: {error}") from error
