"""An application's environment: the client's wheel and what the examples need, not this project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from harness.fresh import without

from registry.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"


def installed_client(folder: Path) -> Path:
    """Make an environment in `folder` with the wheel and what the examples need; return Python.

    The wheel is built by the page's command, and brings what it says that it needs.
    """
    build = [sys.executable, "-m", "ops.client_wheel", str(folder / "dist")]
    built = subprocess.run(build, cwd=ROOT, check=True, timeout=120, capture_output=True, text=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [f"{built.stdout.strip()}[testing]", *project["optional-dependencies"]["examples"]]
    python = folder / "venv" / "bin" / "python"
    uv = str(Path(sys.executable).with_name("uv"))
    locked = ["--constraint", str(ROOT / "requirements.lock")]  # whose hashes are verified
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")],
        [uv, "pip", "install", "--quiet", "--python", str(python), *locked, *wanted],
    ):
        subprocess.run(command, check=True, timeout=120)
    return python


def environment_of_application(settings: Settings) -> dict[str, str]:
    """Return the variables of an application of the fleet that `settings` are for."""
    return without(os.environ) | {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "RECSTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "PYTHONUNBUFFERED": "1",
    }


def installed_node_modules(folder: Path) -> Path:
    """Copy the Node example into `folder` with what its lock file names; return its script."""
    for name in ("package.json", "package-lock.json", "ask.js"):
        shutil.copy(EXAMPLES / "node" / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    subprocess.run(command, cwd=folder, check=True, timeout=120, capture_output=True)
    return folder / "ask.js"
