"""Storage: what each kind can do, and what a listing shows.

Must not know any kind (`registry.storage.local_folder`, `registry.storage.object_storage`), nor
what is stored.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

ATTEMPTS: Final = 5
"""How often a write is tried that met another one, or whose folder was just removed as empty. Each
attempt lasts far less than what it collides with; more would hide a storage that never accepts."""


@dataclass(frozen=True, slots=True)
class Found:
    """One object as a listing shows it: its name, its length, and when it was written."""

    path: str
    size_bytes: int
    modified_at: datetime


class Storage(Protocol):
    """What a kind of storage does; a name that is not there is a `FileNotFoundError`.

    The names are as `registry.storage.objects.Objects` has checked them; each method is that of the
    same name there.
    """

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
    def discard_parts(self, before: datetime) -> int: ...
