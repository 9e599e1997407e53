"""The container image: built and run by buildah, without a daemon, on a base of Debian's packages.

Stands for what `docker compose` builds on `python:slim`: the same Dockerfile, another base.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from harness.fresh import environment_of, publish_model
from harness.waiting import wait_until

from ops.local.ports import free_port
from registry.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("buildah", "mmdebstrap")
PACKAGES = "python3,python3-venv,ca-certificates"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
MOST_MEGABYTES = 550
"""Above its base; half of it are pyarrow, SciPy, NumPy and botocore."""

pytestmark = pytest.mark.skipif(
    os.environ.get("CI") != "true" and not all(map(shutil.which, TOOLS)),
    reason="needs buildah and mmdebstrap (apt-get install buildah mmdebstrap)",
)


def buildah(*arguments: str | Path, seconds: float = 600) -> str:
    run = subprocess.run(
        ["buildah", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert run.returncode == 0, f"buildah {arguments}:\n{run.stdout[-2000:]}{run.stderr[-4000:]}"
    return run.stdout.strip()


@contextmanager
def container(image: str) -> Iterator[str]:
    name = buildah("from", "--isolation=chroot", "--pull=never", image)
    try:
        yield name
    finally:
        buildah("rm", name)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of Debian's own Python, from the mirrors that this machine uses."""
    archive = tmp_path_factory.mktemp("base") / "base.tar"
    sources = [
        *Path("/etc/apt/sources.list.d").glob("debian.sources"),
        Path("/etc/apt/sources.list"),
    ]
    source = next(path for path in sources if path.exists())
    subprocess.run(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={PACKAGES}",
            "",
            archive,
            source,
        ],
        check=True,
        timeout=600,
    )
    with container("scratch") as name:
        buildah("add", name, archive, "/")
        if AUTHORITIES.exists():  # whom this machine trusts: its mirrors may have their own
            buildah("copy", name, AUTHORITIES, AUTHORITIES)
            for variable in ("SSL_CERT_FILE", "PIP_CERT"):
                buildah("config", "--env", f"{variable}={AUTHORITIES}", name)
        buildah("commit", "--quiet", name, "localhost/recstream-base")
    return "localhost/recstream-base"


@pytest.fixture(scope="module")
def image(base: str) -> str:
    buildah(
        *("build", "--isolation=chroot", "--pull=never", "--quiet", "--build-arg", f"BASE={base}"),
        *("--file", ROOT / "ops/setup/Dockerfile", "--tag", "localhost/recstream-test", ROOT),
        seconds=900,
    )
    return "localhost/recstream-test"


def megabytes(image: str) -> float:
    """The size of an image in the local storage."""
    (found,) = json.loads(buildah("images", "--json", image))
    number, unit = found["size"].split()
    return float(number) * {"MB": 1, "GB": 1000}[unit]


def test_a_worker_of_the_image_answers_healthz_as_a_user_of_its_own(
    image: str, base: str, topics_created: Settings, figure: Callable[[str], None]
) -> None:
    port = free_port()
    publish_model(topics_created)
    variables = environment_of(topics_created) | {
        "RECSTREAM_HTTP_PORT": str(port),
        "RECSTREAM_HTTP_HOST": "127.0.0.1",
        "MODEL_REGISTRY": "/model_registry",
    }
    settings = [f"--env={name}={value}" for name, value in variables.items() if value]
    with container(image) as name:
        buildah(
            "copy", "--chown", "recstream", name, topics_created.model_registry, "/model_registry"
        )
        assert buildah("run", "--isolation=chroot", name, "--", "id", "-un") == "recstream"
        assert buildah("run", "--isolation=chroot", name, "--", "recstream", "--version").split()
        command = ["buildah", "run", "--isolation=chroot", *settings, name, "--"]
        worker = subprocess.Popen([*command, "recstream", "worker"], start_new_session=True)
        try:
            wait_until(lambda: answers(port, "/readyz") == 200, 60, "the worker to be ready")
            assert answers(port, "/healthz") == 200
        finally:
            os.killpg(worker.pid, 15)
            worker.wait(30)
    above = megabytes(image) - megabytes(base)
    figure(f"{above:.0f} MB above a base of {megabytes(base):.0f} MB")
    assert above < MOST_MEGABYTES


def answers(port: int, path: str) -> int | None:
    """The status of a page; None where nobody answers."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return None
