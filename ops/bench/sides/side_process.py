"""Runs a side of a benchmark as a child process: one line in, one JSON line out."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias, TypeVar

import msgspec

from registry.errors import TransportError

ANSWER_SECONDS: Final = 300.0
"""How long a side may take for one line."""

Value = TypeVar("Value")

Process: TypeAlias = subprocess.Popen[bytes]


@contextmanager
def run_side(module: str, *words: str) -> Iterator[Process]:
    """Run `module` as a side, and wait until it ends; kill it if the block fails."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def prompt(process: Process) -> Process:
    """Send a line to a side, which starts its next measurement; return the side."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    return process


def read_value(process: Process, kind: type[Value]) -> Value:
    """Return the value on the next line that a side prints; it prints none before its prompt."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], ANSWER_SECONDS)[0]:
        raise TransportError(f"no output from process {process.pid} for {ANSWER_SECONDS:g} s")
    line = process.stdout.readline()
    if not line:
        raise TransportError(f"process {process.pid} exited with code {process.wait()}")
    return msgspec.json.decode(line, type=kind)
