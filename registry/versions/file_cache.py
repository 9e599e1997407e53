"""The cache: local copies of the files of remote versions, named by their content.

Knows its folder, its maximum size, and how processes share both. Must not know versions, or where a
file comes from. Content that two versions share is stored and mapped once.

- A file appears under its SHA-256 only when it is whole: it is downloaded under another name and
  renamed.
- One process writes at a time, under ``.lock``; processes that waited find the file in place. A
  killed process leaves ``.part``, which the next writer removes.
- Whoever maps a file holds a shared lock on it until the map is gone: the map keeps the open file
  alive, and the lock with it. Only files that nobody holds are evicted, least recently requested
  first.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final

from registry.errors import ArtifactError, ConfigurationError
from registry.versions.checksums import entry_of, require_entry
from registry.versions.manifest import FileEntry

LOCK: Final = ".lock"
PART: Final = ".part"


def cache_folder(setting: str) -> Path:
    """Return the folder that ``RECSTREAM_MODEL_CACHE`` names, with ``~`` expanded.

    Raises
    ------
    ConfigurationError
        If nobody is known whose home it is in.
    """
    try:
        return Path(setting).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(f"RECSTREAM_MODEL_CACHE={setting!r}: {error}") from error


class Cache:
    """A folder that any number of processes use at once.

    Parameters
    ----------
    folder
        Is made by the first file.
    max_bytes
        Bound of all files together; None: none.
    """

    def __init__(self, folder: Path, max_bytes: int | None = None) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def open(self, entry: FileEntry, fetch: Callable[[Path], None]) -> BufferedReader:
        """Return the file that `entry` describes, open at its beginning and verified.

        Parameters
        ----------
        entry
            Its checksum and size.
        fetch
            Writes it to a path; called if it is not here, or was damaged here.

        Raises
        ------
        DamagedVersion
            If the fetched file differs from its entry.
        ArtifactError
            If there is no room, or the disk fails.
        """
        try:
            return self._held(entry) or self._fetched(entry, fetch)
        except OSError as error:
            raise self._failure(error) from error
        except ArtifactError as error:  # whoever fetches takes a full disk for a failing storage
            if (full := full_disk(error)) is None:
                raise
            raise self._failure(full) from error

    def _failure(self, error: OSError) -> ArtifactError:
        return ArtifactError(
            f"model cache {self.folder}: {error}; free some space there, or set another folder "
            "(RECSTREAM_MODEL_CACHE)"
        )

    def _held(self, entry: FileEntry) -> BufferedReader | None:
        """Return the file if it is here; a damaged one is removed."""
        path = self._path_of(entry)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        fcntl.flock(file, fcntl.LOCK_SH)  # waits for a writer that is about to remove it, no longer
        stat = os.fstat(file.fileno())
        if stat.st_nlink and entry_of(file) == entry:
            os.utime(file.fileno())
            return file
        file.close()
        if stat.st_nlink:
            path.unlink(missing_ok=True)
        return None

    def _fetched(self, entry: FileEntry, fetch: Callable[[Path], None]) -> BufferedReader:
        with self._writing():
            if file := self._held(entry):  # another process was faster
                return file
            self._make_room(entry.bytes)
            part = self.folder / PART
            try:
                fetch(part)
                file = part.open("rb")
                require_entry(file, entry)
                fcntl.flock(file, fcntl.LOCK_SH)
                part.rename(self._path_of(entry))
            finally:
                part.unlink(missing_ok=True)
            return file

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open("a") as lock:  # released by the system if this is killed
            fcntl.flock(lock, fcntl.LOCK_EX)
            (self.folder / PART).unlink(missing_ok=True)
            yield

    def _make_room(self, needed: int) -> None:
        if self.max_bytes is None:
            return
        used = {path: path.stat() for path in self.folder.iterdir() if path.name != LOCK}
        left = self.max_bytes - needed - sum(stat.st_size for stat in used.values())
        for path in sorted(used, key=lambda path: used[path].st_mtime_ns):
            if left >= 0:
                return
            if _removed(path):
                left += used.pop(path).st_size
        if left < 0:
            held = sum(stat.st_size for stat in used.values())
            raise ArtifactError(
                f"model cache {self.folder}: {needed:,} more bytes are needed, and {held:,} are "
                f"in use; RECSTREAM_MODEL_CACHE_BYTES={self.max_bytes} must be at least "
                f"{held + needed}"
            )

    def _path_of(self, entry: FileEntry) -> Path:
        return self.folder / entry.sha256


def _removed(path: Path) -> bool:
    """Remove a file unless somebody holds it."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        path.unlink()
        return True


def full_disk(error: BaseException | None) -> OSError | None:
    """Return the error of a disk without room that led to `error`, if there is one."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return error
        error = error.__cause__
    return None
