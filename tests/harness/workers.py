"""Real worker processes: started, asked over HTTP, paused, killed, and all ended afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from harness.fresh import environment_of, without
from harness.waiting import wait_until

from ops.local.ports import free_port
from registry.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TAIL_BYTES = 6_000
WORKER = ("-m", "ops.cli.main", "worker")


@dataclass(frozen=True, slots=True)
class Page:
    """One HTTP answer."""

    status: int
    text: str
    headers: Mapping[str, str]

    def json(self) -> Any:
        return json.loads(self.text)


class Worker:
    """One worker process.

    Parameters
    ----------
    settings
        Of the fleet; name and port are this worker's own.
    folder
        Holds its log and is its current folder; must exist.
    arguments
        What Python runs: the ``worker`` command, unless a test brings its own program.
    variables
        Environment variables that go before all others.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        folder: Path,
        arguments: Sequence[str] = WORKER,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.port = free_port()
        self.log = folder / f"{name}.log"
        own = {"RECSTREAM_WORKER": name, "RECSTREAM_HTTP_PORT": str(self.port)}
        python = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        environment = without(os.environ) | environment_of(settings) | own | python
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                _bound_to_parent([sys.executable, *arguments]),
                env=environment | dict(variables or {}),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that `end` reaches its training child as well
            )

    def __repr__(self) -> str:
        return f"Worker({self.name!r}, pid {self.process.pid}, port {self.port})"

    def fetch(
        self,
        path: str,
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """Ask for a page; `body` is sent as JSON. OSError or HTTPException if nobody answers."""
        return fetch_from(self.port, path, method, body, headers)

    def get(self, path: str) -> Any:
        """Return the JSON at `path`, whatever the status."""
        return self.fetch(path).json()

    def wait_ready(self, seconds: float = 60) -> Worker:
        """Return when ``/readyz`` says 200; fail at once when the process has ended."""
        seen: list[object] = []

        def ready() -> bool:
            code = self.process.poll()
            assert code is None, f"{self} ended with {code}:\n{self.tail()}"
            try:
                page = self.fetch("/readyz")
            except (OSError, HTTPException) as error:
                seen[:] = [repr(error)]
                return False
            seen[:] = [page.text]
            return page.status == 200

        try:
            wait_until(ready, seconds, f"{self} to be ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n/readyz: {seen}\n{self.tail()}") from None
        return self

    def kill(self) -> None:
        """SIGKILL: no goodbye. Its children, if any, live on until :meth:`end`."""
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 20) -> int:
        """SIGTERM; return the exit code. TimeoutExpired if it takes longer than `seconds`."""
        self.process.terminate()
        return self.process.wait(seconds)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill it and its children, in whatever state they are."""
        with contextlib.suppress(ProcessLookupError):  # all of them ended before
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def tail(self) -> str:
        """Return the end of its log."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
            return log.read().decode(errors="replace")


def control_owner(workers: Sequence[Worker]) -> Worker:
    """Return the live worker that owns the control partition, once there is one."""

    def owner() -> Worker | None:
        for worker in workers:
            try:
                if worker.process.poll() is None and worker.get("/rollout/status")["owns_control"]:
                    return worker
            except (OSError, HTTPException):
                continue
        return None

    return wait_until(owner, 60, "an owner of the control partition")


def fetch_from(
    port: int,
    path: str,
    method: str = "GET",
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Page:
    """Do what `Worker.fetch` does, at any port of this machine."""
    sent = dict(headers or {})
    if body is not None:
        sent.setdefault("Content-Type", "application/json")
        body = json.dumps(body)
    with closing(HTTPConnection("127.0.0.1", port, timeout=15)) as connection:
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        return Page(answer.status, answer.read().decode(), dict(answer.headers))


def _bound_to_parent(command: list[str]) -> list[str]:
    """Let the kernel kill the child when the thread that starts it dies, where Linux can."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *command] if setpriv else command
