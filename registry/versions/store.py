"""The store: published model versions at one URL, each immutable and either whole or absent.

Knows how a version is read, hidden and restored. How one is written:
`registry.versions.publication`. Must not know how a version is learned or routed to.

Removing goes the other way: first the manifest moves to ``removed/``, so no new reader starts; the
files are removed later, when earlier readers have finished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path

from registry.errors import ConfigurationError, UnknownVersion
from registry.heap_trim import trim_memory
from registry.ids import is_version_name
from registry.scoring.model_arrays import ModelArrays
from registry.settings import Settings
from registry.storage.objects import MissingObject, Objects
from registry.versions import latest_version, publication, published_versions
from registry.versions.artifact_format import FURTHER, OpenFile, read_artifact
from registry.versions.file_cache import Cache, cache_folder
from registry.versions.manifest import Description, Manifest, decode_manifest
from registry.versions.model import Model
from registry.versions.publication import ARTIFACT
from registry.versions.published_files import about, check_listing, opener
from registry.versions.published_versions import MANIFEST, REMOVED, SIGNATURE
from registry.versions.signing import NO_KEYS, Keys, read_keys, require_signature


class Store:
    """The registry at one URL.

    Parameters
    ----------
    url
        As :class:`registry.storage.objects.Objects` takes it. A folder is made by the first
        publication.
    cache
        Where files of a registry elsewhere are kept; None: each is fetched anew, and kept no
        longer than it is mapped. A local folder is mapped directly, without a cache.
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
        """The folder of a local registry.

        Raises
        ------
        ConfigurationError
            If it is elsewhere.
        """
        if self.objects.folder is None:
            raise ConfigurationError(f"MODEL_REGISTRY={self.url!r}: must be a local folder")
        return self.objects.folder

    def versions(self) -> list[str]:
        """Return the published versions, oldest to newest; a missing folder holds none."""
        return published_versions.versions_in(self.objects)

    def latest(self) -> str | None:
        """Return the version that ``latest.txt`` names, or the newest if there is no such file.

        Raises
        ------
        DamagedVersion
            If ``latest.txt`` names no published version.
        """
        return latest_version.latest_in(self.objects)

    def manifest(self, version: str) -> Manifest:
        """Return the manifest of `version`; its files are not checked.

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
            with about(version, " "):
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
        files are removed; a publisher that is killed leaves files that are not a version, which
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
        return publication.publish(self.objects, self._keys, arrays, description, extra)

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
        publication.require_publishable(self.objects, self._keys, write=write)

    def require_files(self, version: str) -> None:
        """Check that `version` is published and its files are listed, without reading them.

        Raises
        ------
        UnknownVersion, DamagedVersion
            As :meth:`verify`, as far as it shows without reading.
        """
        manifest = self.manifest(version)
        with about(version):
            check_listing(manifest, self.objects.found(version))

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
        with about(version), opener(self.objects, self._cache, manifest) as open_file:

            def opened(name: str) -> BufferedReader:
                unread.discard(name)
                return open_file(name)

            check_listing(manifest, listed)
            _read_arrays(manifest, opened)
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
        with about(version), opener(self.objects, self._cache, manifest) as open_file:
            check_listing(manifest, listed)
            model = Model(manifest, _read_arrays(manifest, open_file))
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
        with (
            about(version),
            opener(self.objects, self._cache, manifest) as open_file,
            open_file(name) as file,
        ):
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
        with about(version):
            check_listing(decode_manifest(payload, version), self.objects.found(version))
        self.objects.create(f"{version}/{MANIFEST}", payload)

    def delete_files(self, version: str) -> None:
        """Remove what is left of a version that is hidden, or that was never published.

        Raises
        ------
        ArtifactError
            If it is published.
        """
        publication.delete_files(self.objects, version)

    def folders(self) -> list[str]:
        """Return the versions of which there are files, published or not, oldest to newest."""
        return published_versions.folders_in(self.objects)


def _read_arrays(manifest: Manifest, open_file: OpenFile) -> ModelArrays:
    has = {part: f"{ARTIFACT}/{file}" in manifest.files for part, file in FURTHER.items()}
    return read_artifact(lambda name: open_file(f"{ARTIFACT}/{name}"), **has)


def store_of(settings: Settings) -> Store:
    """Return the registry that `settings` name, with its cache and keys.

    Raises
    ------
    ConfigurationError
        If the registry's URL or a key cannot be used.
    """
    cache = Cache(cache_folder(settings.model_cache), settings.model_cache_bytes)
    return Store(settings.model_registry, cache=cache, keys=keys_of(settings))


def keys_of(settings: Settings) -> Keys:
    """Return the keys that `settings` hold; refuse them as :func:`read_keys` does."""
    return read_keys(
        settings.signing_key.get_secret_value(),
        settings.signing_private_key.get_secret_value(),
        settings.signing_public_keys,
    )
