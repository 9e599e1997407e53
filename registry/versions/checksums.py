"""Checksums of files: what a manifest says of a file, and the check that it is still that file.

Knows open files. Must not know where they come from, or what they hold.
"""

from __future__ import annotations

import hashlib
import os
from io import BufferedReader

from registry.errors import DamagedVersion
from registry.versions.manifest import FileEntry


def entry_of(file: BufferedReader) -> FileEntry:
    """Return what a manifest would say of an open file, and go back to its beginning."""
    file.seek(0)
    checksum = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return FileEntry(checksum, os.fstat(file.fileno()).st_size)


def require_entry(file: BufferedReader, entry: FileEntry) -> None:
    """Check that an open file is the one that `entry` describes; close it if not.

    Raises
    ------
    DamagedVersion
        With what was seen, and what was published.
    """
    seen = entry_of(file)
    if seen != entry:
        file.close()
        raise DamagedVersion(
            f"has changed: {seen.bytes} bytes with SHA-256 {seen.sha256[:12]}…, published were "
            f"{entry.bytes} with {entry.sha256[:12]}…"
        )
