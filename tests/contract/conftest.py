"""Where a registry can be: each location fresh for each test, S3 as moto's server speaks it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
from harness import tagged_memory

START_SECONDS = 60
"""The server imports all of moto; on a machine that is busy this takes a while."""

BUCKET = "recstream"


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty bucket on a server of its own process, for the whole session."""
    log = tmp_path_factory.mktemp("moto") / "log"
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
            env={"PYTHONUNBUFFERED": "1", **os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    with pytest.MonkeyPatch.context() as patch:
        try:
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setenv("AWS_ENDPOINT_URL", _address(server, log))
            fsspec.filesystem("s3").mkdir(BUCKET)
            yield f"s3://{BUCKET}"
        finally:
            server.kill()
            server.wait()


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    pause = threading.Event()
    for _ in range(START_SECONDS * 20):
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            return found[0]
        assert server.poll() is None, log.read_text()
        pause.wait(0.05)
    raise AssertionError(f"moto's server did not start: {log.read_text()}")


LOCATIONS: dict[str, Callable[[pytest.FixtureRequest, Path], str]] = {
    "folder": lambda request, folder: str(folder / "models"),
    "file-url": lambda request, folder: f"file://{folder}/models",
    "memory": lambda request, folder: f"{tagged_memory.PROTOCOL}://{uuid.uuid4().hex}/models",
    "s3": lambda request, folder: f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}/models",
}


@pytest.fixture(params=LOCATIONS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a registry that nobody has written to."""
    return LOCATIONS[request.param](request, tmp_path)


@pytest.fixture(params=["folder", "s3"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same, where several processes can share it."""
    return LOCATIONS[request.param](request, tmp_path)
