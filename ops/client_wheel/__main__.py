"""Builds the wheel: ``python -m ops.client_wheel [FOLDER]``, into ``dist`` by default."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from ops.client_wheel.wheel_sources import wheel_files

BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


def build_client_wheel(folder: Path) -> Path:
    """Build the wheel into `folder`; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as stage:
        for name, text in wheel_files().items():
            path = Path(stage, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        command = [sys.executable, "-c", BUILD, str(folder.absolute())]
        done = subprocess.run(command, cwd=stage, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the wheel could not be built:\n{done.stdout}{done.stderr}")
    return max(folder.glob("recstream_client-*.whl"), key=lambda path: path.stat().st_mtime_ns)


if __name__ == "__main__":
    print(build_client_wheel(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
