"""A local folder as storage: files are written under another name, then linked or renamed into
place.

Knows how a file, its name and its folders survive a power failure. Must not know what the bytes
mean. Its temporary files (``.parts``) and its lock (``.lock``) are not objects.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from registry.storage.storage_kinds import ATTEMPTS, Found

PARTS: Final = ".parts"
LOCK: Final = ".lock"


class Folder:
    """A local folder. Every object is on disk, name and bytes, when a call returns."""

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
                raise  # a registry that is a file is not an empty one
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

    def discard_parts(self, before: datetime) -> int:
        if not (self._root / PARTS).is_dir():
            return 0
        stale = [
            part
            for part in (self._root / PARTS).iterdir()
            if datetime.fromtimestamp(part.stat().st_mtime, UTC) < before
        ]
        for part in stale:
            shutil.rmtree(part) if part.is_dir() else part.unlink()
        return len(stale)

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
