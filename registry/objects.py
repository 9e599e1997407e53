"""Objects: named bytes at one URL, in a folder of this machine or in an object storage.

Knows how each kind of storage writes a name exactly once, replaces it whole, and lists what it
holds. Must not know what the bytes mean. Nobody ever reads half an object: a folder's objects are
written beside and linked or renamed into place, an object storage shows them only when complete.

Names are paths with ``/``, relative to the URL. Names that begin with a dot belong to the storage
itself: a folder's temporary files (``.parts``) and its lock (``.lock``); they are never listed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import fsspec
from fsspec.implementations.local import LocalFileSystem

from registry.errors import ArtifactError, ConfigurationError, RecstreamError

PARTS: Final = ".parts"
LOCK: Final = ".lock"

ATTEMPTS: Final = 5
"""How often a write is tried that met another one, or whose folder was just removed as empty. Each
attempt lasts far less than what it collides with; more would hide a storage that never accepts."""


QUESTIONS: Final = 16
"""Asked at once of a storage that answers each in tens of milliseconds. Far more are throttled."""


class MissingObject(ArtifactError):
    """There is no object of that name."""


@dataclass(frozen=True, slots=True)
class Found:
    """One object as a listing shows it: its name, its length, and when it was written."""

    path: str
    size_bytes: int
    modified_at: datetime


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
        self._files: _Files = _Folder(Path(root)) if local else _Remote(system, root)

    def create(self, path: str, payload: bytes) -> bool:
        """Write an object that is not there yet; return False, and change nothing, if it is."""
        with self._naming(path):
            return self._files.create(path, payload)

    def upload(self, path: str, from_: Path) -> bool:
        """Do as :meth:`create` with a file's bytes, which must not be changed afterwards.

        A folder of this machine links the file where it can, so nothing is copied.
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
            return sorted(self._files.found(folder), key=lambda one: one.path)

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
        if self.folder is None or not (self.folder / PARTS).is_dir():
            return 0
        with self._naming(PARTS):
            stale = [
                part
                for part in (self.folder / PARTS).iterdir()
                if datetime.fromtimestamp(part.stat().st_mtime, UTC) < before
            ]
            for part in stale:
                shutil.rmtree(part) if part.is_dir() else part.unlink()
        return len(stale)

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


class _Files(Protocol):
    """What a kind of storage does; a name that is not there is a `FileNotFoundError`."""

    def create(self, path: str, payload: bytes) -> bool: ...
    def upload(self, path: str, from_: Path) -> bool: ...
    def replace(self, path: str, payload: bytes) -> None: ...
    def exchange(self, path: str, before: bytes, after: bytes) -> bool: ...
    def read(self, path: str) -> bytes: ...
    def download(self, path: str, to: Path) -> None: ...
    def names(self, folder: str) -> list[str]: ...
    def found(self, folder: str) -> list[Found]: ...
    def size(self, path: str) -> int | None: ...
    def delete(self, path: str) -> None: ...
    def staging(self) -> contextlib.AbstractContextManager[Path]: ...


class _Folder:
    """A folder of this machine. Every object is on disk, name and bytes, when a call returns."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self, path: str, payload: bytes) -> bool:
        with self._written(payload) as part:
            return self._link(part, path)

    def upload(self, path: str, from_: Path) -> bool:
        _sync(from_)
        try:
            return self._link(from_, path)
        except OSError as error:
            if error.errno not in _LINKS_NOT_THERE:
                raise
        with self._part() as part:
            shutil.copyfile(from_, part)
            _sync(part)
            return self._link(part, path)

    def replace(self, path: str, payload: bytes) -> None:
        target = self._root / path
        with self._written(payload) as part:
            self._in_its_folder(target, lambda: part.rename(target))

    def exchange(self, path: str, before: bytes, after: bytes) -> bool:
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / LOCK).open("a") as lock:  # released by the system if this is killed
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                holds = (self._root / path).read_bytes() == before
            except FileNotFoundError:
                return False
            if holds:
                self.replace(path, after)
            return holds

    def read(self, path: str) -> bytes:
        try:
            return (self._root / path).read_bytes()
        except NotADirectoryError as error:
            raise FileNotFoundError(path) from error

    def download(self, path: str, to: Path) -> None:
        shutil.copyfile(self._root / path, to)

    def names(self, folder: str) -> list[str]:
        try:
            return [entry.name for entry in (self._root / folder).iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            if self._root.exists() and not self._root.is_dir():
                raise  # a registry that is a file is no empty one
            return []

    def found(self, folder: str) -> list[Found]:
        top = self._root / folder
        found = []
        for path in top.rglob("*"):
            relative = path.relative_to(top)
            if not relative.parts[0].startswith("."):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    found += _found(path, relative.as_posix())
        return found

    def size(self, path: str) -> int | None:
        target = self._root / path
        return target.stat().st_size if target.is_file() else None

    def delete(self, path: str) -> None:
        target = self._root / path
        target.unlink(missing_ok=True)
        for folder in target.parents:
            if folder == self._root:
                return
            try:
                folder.rmdir()
            except OSError:  # not empty, or gone
                return

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield a folder on the same file system, so that its files can be linked."""
        folder = self._parts() / uuid.uuid4().hex
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def _parts(self) -> Path:
        parts = self._root / PARTS
        parts.mkdir(parents=True, exist_ok=True)
        return parts

    @contextlib.contextmanager
    def _part(self) -> Iterator[Path]:
        part = self._parts() / uuid.uuid4().hex
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _written(self, payload: bytes) -> Iterator[Path]:
        with self._part() as part:
            part.write_bytes(payload)
            _sync(part)
            yield part

    def _link(self, part: Path, path: str) -> bool:
        target = self._root / path
        try:
            self._in_its_folder(target, lambda: os.link(part, target))
        except FileExistsError:
            return False
        return True

    def _in_its_folder(self, target: Path, place: Callable[[], object]) -> None:
        """Put something at `target`, whose folder another process may just find empty."""
        for attempt in range(ATTEMPTS):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                place()
                break
            except FileNotFoundError:
                if attempt == ATTEMPTS - 1:
                    raise
        for folder in target.parents:  # the names of folders made just now are to stay, too
            _sync(folder)
            if folder == self._root:
                break


_LINKS_NOT_THERE: Final = frozenset({errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK})
"""The file is on another file system, or this one has no links."""


def _found(path: Path, name: str) -> list[Found]:
    if not path.is_file():
        return []
    stat = path.stat()
    return [Found(name, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))]


def _sync(path: Path) -> None:
    """Wait until a file's bytes, or a folder's names, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Remote:
    """Any other file system of fsspec's, an object storage most of all."""

    def __init__(self, system: Any, root: str) -> None:
        self._system = system
        self._root = root.rstrip("/")

    def create(self, path: str, payload: bytes) -> bool:
        return self._once(lambda: self._system.pipe_file(self._at(path), payload, mode="create"))

    def upload(self, path: str, from_: Path) -> bool:
        return self._once(lambda: self._system.put_file(str(from_), self._at(path), mode="create"))

    def replace(self, path: str, payload: bytes) -> None:
        self._system.pipe_file(self._at(path), payload)

    def exchange(self, path: str, before: bytes, after: bytes) -> bool:
        """Compare and set by the object's ETag; where there is none, the last writer wins."""
        try:
            tag = self._system.info(self._at(path)).get("ETag")
            if self.read(path) != before:
                return False
        except FileNotFoundError:
            return False
        if tag is None:
            self.replace(path, after)
            return True
        return self._once(lambda: self._system.pipe_file(self._at(path), after, IfMatch=tag))

    def read(self, path: str) -> bytes:
        payload: bytes = self._system.cat_file(self._at(path))
        return payload

    def download(self, path: str, to: Path) -> None:
        self._system.get_file(self._at(path), str(to))

    def names(self, folder: str) -> list[str]:
        try:
            listed = self._system.ls(self._at(folder), detail=False)
        except FileNotFoundError as error:
            _require_bucket(error)
            return []
        return [name.rstrip("/").rpartition("/")[2] for name in listed]

    def found(self, folder: str) -> list[Found]:
        top = self._at(folder)
        try:
            listed = self._system.find(top, detail=True)
        except FileNotFoundError as error:
            _require_bucket(error)
            return []
        return [
            Found(
                path.removeprefix(f"{top}/"),
                one["size"],
                one.get("LastModified") or self._system.modified(path),
            )
            for path, one in listed.items()
        ]

    def size(self, path: str) -> int | None:
        try:
            one = self._system.info(self._at(path))
        except FileNotFoundError:
            return None
        return int(one["size"]) if one["type"] == "file" else None

    def delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._system.rm_file(self._at(path))

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="recstream-") as folder:
            yield Path(folder)

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _once(self, write: Callable[[], object]) -> bool:
        """Do a conditional write; return False if its condition does not hold."""
        for attempt in range(ATTEMPTS):
            try:
                write()
                return True
            except FileExistsError:
                return False
            except FileNotFoundError as error:
                if _code(error) == "NoSuchKey":  # what was to be exchanged is gone
                    return False
                raise OSError(str(error)) from error  # no such bucket
            except OSError as error:
                if _code(error) == "PreconditionFailed":
                    return False
                if _code(error) != "ConditionalRequestConflict" or attempt == ATTEMPTS - 1:
                    raise  # a conflict: another write of the same name is under way
        return False


def _require_bucket(error: FileNotFoundError) -> None:
    """Tell a bucket that does not exist, which is the storage's own word, from an empty folder."""
    if _code(error) is not None:
        raise OSError(str(error)) from error


def _code(error: OSError) -> str | None:
    """Return S3's own code of an error that s3fs has translated; None for any other error."""
    response = getattr(error.__cause__, "response", None)
    return None if response is None else str(response["Error"]["Code"])
