"""The machine that a benchmark ran on, and its CPU usage.

Knows Linux's ``/proc``; elsewhere the processor figures are missing. Must not know what is
measured.
"""

from __future__ import annotations

import os
import platform
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Final

from msgspec import Struct
from threadpoolctl import threadpool_info

from ops.bench.rig.figures import Window, used_between

LIBRARIES: Final = ("faust-streaming", "confluent-kafka", "implicit", "uvloop")

_PROC: Final = Path("/proc")


class Machine(Struct, frozen=True):
    """What a figure depends on. The load average says whether others were at work, too."""

    cpu: str
    cores: int
    system: str
    python: str
    libraries: str
    blas: str
    kafka: str
    load_before: str


def this_machine(kafka: str) -> Machine:
    """Return this machine; `kafka` says which broker."""
    return Machine(
        cpu=_cpu_model(),
        cores=cores(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries=", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        blas=_blas(),
        kafka=kafka,
        load_before=" ".join(f"{load:.2f}" for load in os.getloadavg()),
    )


def _blas() -> str:
    """Return which BLAS NumPy calls, and the processor kernel that it chose."""
    import_module("numpy")  # loads its BLAS
    found = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return ", ".join(
        f"{library['internal_api']} {library['version']} ({library.get('architecture', 'unknown')})"
        for library in found
    )


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class CpuSamples:
    """Processor seconds of some processes together, and of the machine, read now and then.

    Parameters
    ----------
    pids
        Processes that run for as long as samples are taken.
    """

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._processes: list[tuple[float, float]] = []
        self._machine: list[tuple[float, float]] = []

    def take(self) -> None:
        """Take one sample."""
        used = [process_seconds(pid) for pid in self._pids]
        if None in used:
            return
        now_ms = time.time() * 1000
        self._processes.append((now_ms, sum(seconds for seconds in used if seconds is not None)))
        self._machine.append((now_ms, _machine_seconds()))

    def process_seconds(self, window: Window) -> float | None:
        """Return the seconds that the processes used in `window`; None where it can't be known."""
        return used_between(window, self._processes) if self._processes else None

    def busy_share(self, window: Window) -> float | None:
        """Return the share, 0..1, of all cores that anybody used in `window`."""
        if not self._machine:
            return None
        seconds = (window.end_ms - window.start_ms) / 1000
        return used_between(window, self._machine) / seconds / cores()


def process_seconds(pid: int) -> float | None:
    """Return the processor seconds that a running process has used; None where unknown."""
    if not (_PROC / "stat").exists():
        return None
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime


def _machine_seconds() -> float:
    fields = [int(field) for field in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:]]
    idle = fields[3] + fields[4]  # idle, iowait
    return (sum(fields[:8]) - idle) / os.sysconf("SC_CLK_TCK")


def _cpu_model() -> str:
    try:
        lines = (_PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")
