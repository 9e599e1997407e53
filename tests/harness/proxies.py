"""A real nginx in front of a worker, under a path, as its manual's first example has it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness.waiting import wait_until

from ops.local.ports import free_port, listens

CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location {path} {{
            proxy_pass http://127.0.0.1:{worker}/;
            {settings}
        }}
    }}
}}
"""


@contextmanager
def nginx(worker: int, folder: Path, path: str = "/rec/", settings: str = "") -> Iterator[str]:
    """Serve the pages of the worker at port `worker` under `path`; gives their address.

    `settings` are nginx's, of the location; without any, nginx tells the worker nothing of its
    caller.
    """
    binary = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if binary is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs nginx")
        pytest.skip("no nginx on this machine")
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(folder=folder, port=port, worker=worker, path=path, settings=settings)
    )
    command = [binary, "-p", str(folder), "-e", "stderr", "-c", str(configuration)]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: listens("127.0.0.1", port), 10, "nginx")
            yield f"http://127.0.0.1:{port}{path}"
        finally:
            process.terminate()
