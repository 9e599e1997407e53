"""The project's own environment: ``.venv``, filled from a lock file, once.

Run by ``make`` with any Python 3.11 to 3.13, before anything is installed: standard library only,
and nothing of this project. ``python -I ops/environment.py`` fills it from ``requirements.lock``,
``--dev`` from ``requirements-dev.lock``. A stamp says what it was filled from, so that a second
call is instant; two calls at the same time wait for each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
VENV: Final = ROOT / ".venv"
PYTHON: Final = VENV / "bin" / "python"
LOCKS: Final = {"runtime": "requirements.lock", "dev": "requirements-dev.lock"}
"""By kind. The second holds all of the first, at the same versions (``make lock``)."""

INSTALL: Final = [
    *(str(PYTHON), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install")
]


def main(arguments: list[str]) -> int:
    """Fill the environment that `arguments` ask for; return 0, or pip's exit code."""
    kind = "dev" if arguments == ["--dev"] else "runtime"
    if _is_filled(kind):
        return 0
    with _alone():
        if _is_filled(kind):  # while we waited
            return 0
        try:
            _fill(kind)
        except subprocess.CalledProcessError as error:
            print(f"recstream: {' '.join(error.cmd)} failed; see above", file=sys.stderr)
            return 1
    return 0


def _fill(kind: str) -> None:
    print(f"recstream: filling .venv from {LOCKS[kind]} (once, about half a minute)", flush=True)
    if not _is_stamped("made", _made_by()):
        venv.EnvBuilder(with_pip=True, clear=True).create(VENV)
        _stamp("made", _made_by())
    for old in LOCKS:
        _stamp_file(old).unlink(missing_ok=True)
    lock = str(ROOT / LOCKS[kind])
    subprocess.run(
        [*INSTALL, "--require-hashes", "--only-binary", ":all:", "-r", lock], check=True, cwd=ROOT
    )
    subprocess.run(
        [*INSTALL, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], check=True, cwd=ROOT
    )
    _stamp(kind, _filled_from())


def _is_filled(kind: str) -> bool:
    enough = ("dev",) if kind == "dev" else ("runtime", "dev")
    made = _is_stamped("made", _made_by())
    return made and any(_is_stamped(one, _filled_from()) for one in enough)


def _made_by() -> str:
    """Where and with what: a moved clone or another Python needs a new environment."""
    return f"{VENV} {sys.version}"


def _filled_from() -> str:
    sources = [ROOT / name for name in (*LOCKS.values(), "pyproject.toml")]
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()


def _is_stamped(name: str, wanted: str) -> bool:
    stamp = _stamp_file(name)
    return stamp.is_file() and stamp.read_text() == wanted


def _stamp(name: str, what: str) -> None:
    _stamp_file(name).write_text(what)


def _stamp_file(name: str) -> Path:
    return VENV / f".recstream-{name}"


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the clone's environment lock; the kernel lets go of it however we end."""
    folder = ROOT / ".cache"
    folder.mkdir(exist_ok=True)
    with (folder / "environment.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
