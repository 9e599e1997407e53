"""Which code made a version. An edge: asks git, where the code runs from a checkout."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from registry.settings import Settings

CHECKOUT: Final = Path(__file__).resolve().parents[1]
GIT_SECONDS: Final = 5.0


def code_sha(settings: Settings, checkout: Path = CHECKOUT) -> str:
    """Return the commit of the running code: ``GIT_SHA``, else the checkout's; empty if unknown."""
    git = shutil.which("git")
    if settings.git_sha or git is None or not (checkout / ".git").exists():
        return settings.git_sha
    asked = subprocess.run(
        [git, "-C", str(checkout), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        timeout=GIT_SECONDS,
        check=False,
    )
    return asked.stdout.strip() if asked.returncode == 0 else ""
