"""What the doctor sees of this machine: releases, and room on its disks."""

from __future__ import annotations

import contextlib
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

import confluent_kafka

from ops.doctor.diagnosis import Diagnosis
from registry.settings import Settings

LEAST_FREE: Final = 1024**3
LEAST_SHARE: Final = 0.05
"""A disk with less than a gigabyte, or than a twentieth of itself, deserves a look."""


def releases(_: Settings) -> Iterator[Diagnosis]:
    """Say what runs here."""
    yield Diagnosis(
        "releases",
        "ok",
        f"recstream {version('recstream')}, Python {platform.python_version()}, "
        f"librdkafka {confluent_kafka.libversion()[0]}",
    )


def disk(settings: Settings) -> Iterator[Diagnosis]:
    """Say whether there is room where versions, or copies of them, are written."""
    folders = {Path(tempfile.gettempdir())}
    if "://" not in settings.model_registry:
        folders.add(Path(settings.model_registry).absolute())
    else:
        with contextlib.suppress(RuntimeError):  # no such user: the registry's check says it
            folders.add(Path(settings.model_cache).expanduser().absolute())
    for folder in sorted(folders):
        existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
        usage = shutil.disk_usage(existing)
        seen = f"{usage.free / 1024**3:.1f} GiB of {usage.total / 1024**3:.0f} free at {folder}"
        if usage.free < LEAST_FREE or usage.free < LEAST_SHARE * usage.total:
            yield Diagnosis(
                "disk", "warning", seen, "make room; `recstream registry gc` removes old versions"
            )
        else:
            yield Diagnosis("disk", "ok", seen)
