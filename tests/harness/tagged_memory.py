"""The memory as an object storage with ETags: enough of conditional writes for one process.

fsspec's own has none, so nothing can be published there.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

PROTOCOL = "tagged-memory"


class TaggedMemory(MemoryFileSystem):
    """fsspec's memory with an ETag for each object, and ``IfMatch`` for writing."""

    protocol = PROTOCOL
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = MemoryFileSystem._strip_protocol(path.removeprefix(f"{PROTOCOL}://"))
        return stripped

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        found: dict[str, Any] = super().info(path, **kwargs)
        if found["type"] == "file":
            found["ETag"] = hashlib.sha256(self.cat_file(path)).hexdigest()
        return found

    def pipe_file(
        self,
        path: str,
        value: bytes,
        mode: str = "overwrite",
        IfMatch: str | None = None,  # noqa: N803  (S3's name)
    ) -> None:
        if IfMatch is not None and self.info(path)["ETag"] != IfMatch:
            raise FileExistsError(path)
        super().pipe_file(path, value, mode)


fsspec.register_implementation(PROTOCOL, TaggedMemory, clobber=True)
