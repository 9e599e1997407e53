"""Which code, on which machine, trained a version. An edge: asks git if the code is a checkout."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from registry.settings import Settings
from registry.versions.manifest import TrainingProvenance

CHECKOUT: Final = Path(__file__).resolve().parents[2]
GIT_SECONDS: Final = 5.0

LIBRARIES: Final = (
    "recstream", "implicit", "numpy", "scipy", "threadpoolctl", "pyarrow", "pyspark", "fsspec",
    "s3fs", "msgspec", "confluent-kafka",
)  # fmt: skip
"""Distributions that decide what the factors are, how they are read and how they are written."""


def code_sha(settings: Settings, checkout: Path = CHECKOUT) -> str:
    """Return the commit of the running code: ``GIT_SHA``, else the checkout's; empty if unknown."""
    return settings.git_sha or _git(checkout, "rev-parse", "HEAD") or ""


def is_dirty(settings: Settings, checkout: Path = CHECKOUT) -> bool | None:
    """Tell whether the running code differs from its commit, by changes or by files unknown to git.

    None if nobody can tell: there is no checkout, or ``GIT_SHA`` names the commit of an image.
    """
    if settings.git_sha:
        return None
    changes = _git(checkout, "status", "--porcelain")
    return None if changes is None else bool(changes)


def provenance_of(settings: Settings) -> TrainingProvenance:
    """Return where a version is made; durations and peak memory are the run's to add.

    Commit and image are fields of the manifest itself; see :func:`code_sha`.

    >>> provenance_of(Settings(git_sha="4f2a")).dirty is None
    True
    """
    return TrainingProvenance(
        host=platform.node(),
        python=platform.python_version(),
        backend=settings.train_backend,
        libraries={name: found for name in LIBRARIES if (found := _version(name)) is not None},
        dirty=is_dirty(settings),
    )


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _git(checkout: Path, *arguments: str) -> str | None:
    """Return what git says of the checkout; None if there is no git, no checkout, or no answer."""
    git = shutil.which("git")
    if git is None or not (checkout / ".git").exists():
        return None
    asked = subprocess.run(
        [git, "--no-optional-locks", "-C", str(checkout), *arguments],
        capture_output=True,
        text=True,
        timeout=GIT_SECONDS,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode == 0 else None
