"""Objects: named bytes at one URL, in a local folder or in object storage.

Knows which names are valid, and that each error names its object. Must not know what the bytes
mean, nor how a kind of storage keeps them (`registry.storage.local_folder`,
`registry.storage.object_storage`). Nobody ever reads half an object.

Names are paths with ``/``, relative to the URL. Names that begin with a dot belong to the storage
itself, and are never listed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from registry.errors import ArtifactError, ConfigurationError, RecstreamError
from registry.storage.local_folder import Folder
from registry.storage.object_storage import Remote
from registry.storage.storage_kinds import Found, Storage

QUESTIONS: Final = 16
"""Asked at once of a storage that answers each in tens of milliseconds. Far more are throttled."""


class MissingObject(ArtifactError):
    """There is no object of that name."""


class Objects:
    """The objects below one fsspec URL.

    Parameters
    ----------
    url
        A path, a ``file://`` URL, or that of any file system that fsspec knows, like ``s3://``.
        A folder is made by the first write; a bucket must exist.

    Attributes
    ----------
    url
        As given.
    folder
        Where the objects can be mapped directly; None if they are not on this machine.

    Raises
    ------
    ConfigurationError
        If fsspec knows no such file system, or its driver is not installed.

    Examples
    --------
    >>> objects = Objects("memory://doctest/objects")
    >>> objects.create("a/b.txt", b"first"), objects.create("a/b.txt", b"second")
    (True, False)
    >>> objects.read("a/b.txt"), objects.names("a")
    (b'first', ['b.txt'])
    """

    def __init__(self, url: str) -> None:
        try:
            system, root = fsspec.url_to_fs(url, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise ConfigurationError(f"MODEL_REGISTRY={url!r}: {error}") from error
        local = isinstance(system, LocalFileSystem)
        if not root.strip("/") and not local:
            raise ConfigurationError(f"MODEL_REGISTRY={url!r}: names no bucket or folder")
        self.url = url
        self.folder = Path(root) if local else None
        self._files: Storage = Folder(Path(root)) if local else Remote(system, root)

    def create(self, path: str, payload: bytes) -> bool:
        """Write an object that is not there yet; return False, and change nothing, if it is."""
        with self._naming(path):
            return self._files.create(path, payload)

    def upload(self, path: str, from_: Path) -> bool:
        """Do as :meth:`create` with a file's bytes, which must not be changed afterwards.

        A local folder links the file where it can, so nothing is copied.
        """
        with self._naming(path):
            return self._files.upload(path, from_)

    def replace(self, path: str, payload: bytes) -> None:
        """Write an object, whether it is there or not: readers get the old bytes or the new."""
        with self._naming(path):
            self._files.replace(path, payload)

    def exchange(self, path: str, before: bytes | None, after: bytes) -> bool:
        """Replace `before` by `after`; return False, and change nothing, if it holds other bytes.

        Parameters
        ----------
        path
            The object's name.
        before
            What it must hold now; None: it must not be there.
        after
            What it shall hold.
        """
        if before is None:
            return self.create(path, after)
        with self._naming(path):
            return self._files.exchange(path, before, after)

    def read(self, path: str) -> bytes:
        """Return an object's bytes.

        Raises
        ------
        MissingObject
            If it is not there.
        """
        with self._naming(path):
            return self._files.read(path)

    def read_if_there(self, path: str) -> bytes | None:
        """Return an object's bytes; None if it is not there."""
        try:
            return self.read(path)
        except MissingObject:
            return None

    def download(self, path: str, to: Path) -> None:
        """Write an object's bytes to the file `to`, which is left half written if this raises.

        Raises
        ------
        MissingObject
            If it is not there.
        """
        with self._naming(path):
            self._files.download(path, to)

    def names(self, folder: str = "") -> list[str]:
        """Return the names directly in `folder`, of objects and of folders, sorted.

        A folder that is not there holds none.
        """
        with self._naming(folder, may_be_root=True):
            return sorted(name for name in self._files.names(folder) if not name.startswith("."))

    def found(self, folder: str = "") -> list[Found]:
        """Return all objects in `folder` and below, by their path from `folder`, sorted."""
        with self._naming(folder, may_be_root=True):
            return sorted(self._files.found(folder), key=lambda entry: entry.path)

    def exists(self, path: str) -> bool:
        """Tell whether there is such an object; a folder is none."""
        with self._naming(path):
            return self._files.size(path) is not None

    def existing(self, paths: Sequence[str]) -> list[str]:
        """Return those of `paths` that are there, in their order; asks for many at once."""
        if self.folder is not None:
            return [path for path in paths if self.exists(path)]
        with ThreadPoolExecutor(QUESTIONS) as pool:
            return [
                path
                for path, there in zip(paths, pool.map(self.exists, paths), strict=True)
                if there
            ]

    def size(self, path: str) -> int:
        """Return an object's length in bytes.

        Raises
        ------
        MissingObject
            If it is not there.
        """
        with self._naming(path):
            size = self._files.size(path)
            if size is None:
                raise FileNotFoundError(path)
        return size

    def delete(self, path: str) -> None:
        """Remove an object, and the folders that it leaves empty; it need not be there."""
        with self._naming(path):
            self._files.delete(path)

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield an empty folder for files to :meth:`upload`; it is removed at the end."""
        with contextlib.ExitStack() as held:
            with self._naming("staging"):
                folder = held.enter_context(self._files.staging())
            yield folder

    def discard_parts(self, before: datetime) -> int:
        """Remove what killed writers left beside a folder's objects; return how much there was.

        Parameters
        ----------
        before
            Only what was last written to earlier. An object storage keeps nothing that is listed:
            let it expire uploads that were never completed.
        """
        with self._naming("leftovers of killed writers"):
            return self._files.discard_parts(before)

    @contextlib.contextmanager
    def _naming(self, path: str, *, may_be_root: bool = False) -> Iterator[None]:
        """Let the block's errors say which object of which registry they are about."""
        parts = path.split("/")
        if not (may_be_root and path == "") and (
            "\\" in path or any(part in ("", ".", "..") for part in parts)
        ):
            raise ArtifactError(f"{path!r}: names no object; a relative path with / is needed")
        try:
            yield
        except RecstreamError:
            raise
        except FileNotFoundError as error:
            raise MissingObject(f"{path}: not in {self.url}") from error
        except Exception as error:  # a file system's driver raises whatever it likes
            raise ArtifactError(f"{path or 'listing'}: {self.url}: {_words(error)}") from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
