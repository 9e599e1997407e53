"""Any other fsspec file system as storage, above all object storage.

Knows conditional writes of S3 and its driver: an object that already exists, one that was exchanged
meanwhile, and a conflict to retry. Must not know what the bytes mean.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from registry.storage.storage_kinds import ATTEMPTS, Found


class Remote:
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
        """Compare and set by the object's ETag; without one, two writers could lose a write."""
        try:
            tag = self._system.info(self._at(path)).get("ETag")
            if self.read(path) != before:
                return False
        except FileNotFoundError:
            return False
        if tag is None:
            raise OSError(
                f"file system {self._protocol()!r} gives objects no ETag, so an exchange could "
                f"lose a concurrent write; use a folder or S3"
            )
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
                entry["size"],
                entry.get("LastModified") or self._system.modified(path),
            )
            for path, entry in listed.items()
        ]

    def size(self, path: str) -> int | None:
        try:
            entry = self._system.info(self._at(path))
        except FileNotFoundError:
            return None
        return int(entry["size"]) if entry["type"] == "file" else None

    def delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._system.rm_file(self._at(path))

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="recstream-") as folder:
            yield Path(folder)

    def discard_parts(self, before: datetime) -> int:
        return 0

    def _protocol(self) -> str:
        names: str | tuple[str, ...] = self._system.protocol
        return names if isinstance(names, str) else names[0]

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
                    raise  # a conflict: another write of the same name is in progress
        return False


def _require_bucket(error: FileNotFoundError) -> None:
    """Tell a bucket that does not exist, which is the storage's own word, from an empty folder."""
    if _code(error) is not None:
        raise OSError(str(error)) from error


def _code(error: OSError) -> str | None:
    """Return S3's own code of an error that s3fs has translated; None for any other error."""
    response = getattr(error.__cause__, "response", None)
    return None if response is None else str(response["Error"]["Code"])
