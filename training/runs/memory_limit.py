"""The limit of a run that a worker has started: memory.

An edge: knows the operating system. Must not know what a run does. The fit limits its threads
(``RETRAIN_THREADS``), the retrain agent its time (``RETRAIN_TIMEOUT``).

Why the memory is watched, and not limited by ``setrlimit``: ``RLIMIT_AS`` and ``RLIMIT_DATA`` count
reserved memory. Each thread reserves 8 MB of stack, Arrow and malloc reserve arenas, a JVM its
whole heap; so the figure depends on the number of cores, not on what a run takes from others. At
such a limit, native code (BLAS, librdkafka) aborts or crashes without saying why. ``RLIMIT_RSS``
has no effect on Linux. The scarce resource is resident memory, and a watched run is ended from
outside, with a result. The price is what a run can allocate between two looks.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from registry.error_codes import TrainingCode
from registry.wire.codec import encode
from registry.wire.training_records.training_messages import TrainingResult

OUT_OF_MEMORY: Final = 4
"""The exit code."""

LOOK_SECONDS: Final = 0.05
"""Between two looks, which cost 50 µs each. New pages come at 1 to 2 GB a second: a run passes its
limit by 100 MB at most, if it holds Python's lock no longer than that."""

OWN: Final = ("RssAnon", "RssShmem")
"""What Linux takes from others for this process alone; mapped files are in the page cache, shared
with the workers that serve from them, and given back when they are needed."""

STATUS: Final = Path("/proc/self/status")


def own_bytes() -> int:
    """Return the resident memory of this process without mapped files, in bytes.

    Where there is no ``/proc``, the peak of all its resident memory.
    """
    return sum(_linux(field) for field in OWN) if STATUS.exists() else _peak()


def peak_memory_bytes() -> int:
    """Return the most memory that this process had resident at once, in bytes.

    On Linux ``VmHWM``: ``getrusage`` of a child begins at the peak of the parent that started it.
    """
    return _linux("VmHWM") if STATUS.exists() else _peak()


def watch_memory(limit_bytes: int, ended: Callable[[str], None]) -> None:
    """Call `ended` with the reason, in a thread, once the process has more memory than it may.

    Parameters
    ----------
    limit_bytes
        Compared with :func:`own_bytes`; 0: there is no limit, and no thread.
    ended
        Is called once, and ends the process.
    """
    if limit_bytes:
        watch = threading.Thread(target=_watch, args=(limit_bytes, ended), daemon=True)
        watch.start()


def end_when_too_large(limit_bytes: int, run_id: str) -> None:
    """End this process with a result once it takes more than `limit_bytes`."""

    def ended(reason: str) -> None:
        # Past Python's buffer, whose lock the run may hold. On a line of its own: one may be open.
        os.write(sys.stdout.fileno(), b"\n" + encode(out_of_memory(run_id, reason)) + b"\n")
        os._exit(OUT_OF_MEMORY)

    watch_memory(limit_bytes, ended)


def out_of_memory(run_id: str, reason: str) -> TrainingResult:
    """Return the result of a run that had too little memory."""
    return TrainingResult(run_id, "failed", code=TrainingCode.OUT_OF_MEMORY, reason=reason)


def _watch(limit_bytes: int, ended: Callable[[str], None]) -> None:
    while (taken := own_bytes()) <= limit_bytes:
        time.sleep(LOOK_SECONDS)
    ended(f"ended at {taken} bytes of memory, more than RETRAIN_MEMORY_BYTES={limit_bytes}")


def _linux(field: str) -> int:
    """Return one of the sizes in ``/proc/self/status``, which are in units of 1024 bytes."""
    for line in STATUS.read_text("ascii", "replace").splitlines():
        name, _, size = line.partition(":")
        if name == field:
            return int(size.split()[0]) * 1024
    raise OSError(f"{STATUS} has no {field}")


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
