"""Child processes that never outlive their owner, and the temporary folder that they share.

All children are in one process group, out of reach of the terminal's Ctrl-C. Its leader is the
guardian (:mod:`ops.local.guardian`): if the owner is killed, it ends the children and removes the
folder.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from ops.local import guardian
from registry.errors import TransportError

STOP_SECONDS: Final = 3.0
"""How long children may take to end before they are killed. Ctrl-C promises five in total."""

FIRST_STOP_SECONDS: Final = 1.0
"""The same for the first child, which is stopped after the others."""

LOOK_SECONDS: Final = 0.2
"""Between two looks at whether the children run."""


class ChildGroup:
    """Named child processes, each with a log file in a shared folder; a context manager.

    Leaving the context ends the children and removes the folder. The child that was started first
    ends last, because the others need it (the broker).
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="recstream-"))
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__, str(self.folder)],
            stdin=subprocess.PIPE,
            process_group=0,
        )

    def __enter__(self) -> ChildGroup:
        return self

    def __exit__(self, *_: object) -> None:
        first, *others = tuple(self._children) or (None,)
        self.stop(others)
        self.stop([first] if first else [], FIRST_STOP_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._guardian.communicate(guardian.ORDERLY)

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Start `command` as `name`; its output goes to ``name.log`` in the folder."""
        with self.log(name).open("ab") as log:
            self._children[name] = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=self._guardian.pid,
            )

    def stop(self, names: Sequence[str], within_seconds: float = STOP_SECONDS) -> None:
        """Send SIGTERM to the named children, and SIGKILL after `within_seconds`."""
        children = [self._children.pop(name) for name in names]
        for child in children:
            child.terminate()
        deadline = time.monotonic() + within_seconds
        for child in children:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def exit_code(self, name: str) -> int | None:
        """Return the exit code of `name`; None while it runs."""
        return self._children[name].poll()

    def pid(self, name: str) -> int:
        """Return the process id of `name`."""
        return self._children[name].pid

    def require_running(self) -> None:
        """Check that all children are running.

        Raises
        ------
        TransportError
            If one has ended; the message has the last lines of its log.
        """
        for name in self._children:
            if (code := self.exit_code(name)) is not None:
                end = self.tail(name)
                raise TransportError(f"{name} exited with code {code}; its log:\n{end}")

    def run_until_interrupted(self) -> None:
        """Wait, while all children run, until Ctrl-C; see :func:`stopped_by_signals`.

        Raises
        ------
        TransportError
            As :meth:`require_running`.
        """
        with contextlib.suppress(KeyboardInterrupt):  # how a user stops it
            while True:
                self.require_running()
                time.sleep(LOOK_SECONDS)

    def log(self, name: str) -> Path:
        """Return the path of the log of `name`."""
        return self.folder / f"{name}.log"

    def tail(self, name: str, lines: int = 20) -> str:
        """Return the last `lines` lines of the log of `name`."""
        with self.log(name).open(encoding="utf-8", errors="replace") as log:
            return "".join(deque(log, maxlen=lines)).rstrip() or "(empty)"


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into a ``KeyboardInterrupt`` within the block.

    By default they would end this process without leaving any context, and a program that a shell
    starts in the background ignores SIGINT.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
