"""Disks that are full or read-only: small file systems in memory, where mounting is permitted.

Where the kernel refuses to mount, as in a container without SYS_ADMIN, their tests are skipped: no
test can give itself that right. With ``MAY_MOUNT=true``, as ``.github/workflows/ci.yml`` has it for
the container that it gives the right to, they fail instead. Any failure to mount other than a
refusal is one of the tests wherever ``CI`` is true.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

REFUSED: Final = re.compile("permission denied|not permitted|must be superuser", re.IGNORECASE)
"""What mount says where the kernel refuses: EPERM, EACCES, or no right to try."""


class Disk:
    """A file system of its own at `folder`. Made by :func:`small_disk`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def remount(self, option: str) -> None:
        """Change it while it is in use: ``ro``, ``rw``, or ``size=8m``."""
        _run("mount", "-o", f"remount,{option}", str(self.folder))

    def fill(self, left_bytes: int) -> Path:
        """Leave room for `left_bytes`; return the file that takes the rest."""
        found = os.statvfs(self.folder)
        filler = self.folder / "filler"
        filler.write_bytes(bytes(found.f_bavail * found.f_frsize - left_bytes))
        return filler


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Disk]:
    """Mount an empty disk of `size` (``256k``) at `folder`, which is made, until the block ends."""
    folder.mkdir()
    mounted = _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder), check=False)
    if mounted.returncode != 0:
        why = f"this test needs to mount a disk: {mounted.stderr.strip()}"
        is_ci, may_mount = (os.environ.get(name) == "true" for name in ("CI", "MAY_MOUNT"))
        if may_mount or (is_ci and not REFUSED.search(mounted.stderr)):
            pytest.fail(why)
        pytest.skip(why)
    try:
        yield Disk(folder)
    finally:
        _run("umount", "--lazy", str(folder))  # a worker may have mapped its files


def _run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=check)
