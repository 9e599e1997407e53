"""One row of `ops.bench.sizing`, measured in its own process.

``python -m ops.bench.sides.sizing_child BACKEND INTERACTIONS FACTORS ITERATIONS FOLDER`` reads the
segments, makes the matrix, fits once, writes the artifact, and prints a JSON line. Linux only:
memory is read from ``/proc``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from ops.bench.quality import shipped_cells
from ops.bench.rig.machine import cores
from ops.bench.rig.made_up_interactions import SEED
from ops.bench.sides.train_sides import peak_bytes
from registry.settings import read_settings
from registry.storage.objects import Objects
from registry.versions.artifact_format import write_artifact
from registry.versions.manifest import Parameters
from registry.wire.codec import encode
from training.data.cell_weights import weights
from training.data.cells_from_rows import gather
from training.data.item_order import by_falling_norm
from training.data.matrix import Cells, csr
from training.fitting.als import one_blas_thread
from training.fitting.backends import fit_of
from training.log.offset_ranges import Span
from training.log.segments import Segments
from training.runs.version_arrays import arrays_of

SHIPPED: Final = 0
"""Instead of a number of interactions: the ratings that ship with the demo."""

REGULARIZATION: Final = 3.0


class Sized(Struct, frozen=True):
    """What one process measured."""

    backend: str
    interactions: int
    users: int
    items: int
    cells: int
    gather_seconds: float
    fit_seconds: float
    fit_cpu_seconds: float | None
    peak_bytes: int
    segment_bytes: int
    array_bytes: int
    document_bytes: int


def measure_training(
    backend: str, interactions: int, factors: int, iterations: int, folder: Path
) -> Sized:
    """Gather, fit and write the artifact, in this process."""
    settings = read_settings({**os.environ, "TRAIN_BACKEND": backend})
    parameters = Parameters(factors, iterations, REGULARIZATION, 1.0, SEED)
    started = time.monotonic()
    cells, count = _gather(folder, interactions)
    weight = weights(cells, parameters)
    matrix = csr(cells, weight > 0, weight)
    gathered = time.monotonic() - started
    with one_blas_thread():
        started, used = time.monotonic(), time.process_time()
        fitted_factors = fit_of(settings)(matrix, parameters, cores(), lambda _done: None)
        fitted, used = time.monotonic() - started, time.process_time() - used
    peak = peak_bytes() + sum(map(_peak_of, _children()))
    artifact = folder / "artifact"
    write_artifact(arrays_of(*by_falling_norm(cells, fitted_factors), parameters), artifact)
    return Sized(
        backend=backend,
        interactions=count,
        users=cells.shape[0],
        items=cells.shape[1],
        cells=len(cells.user),
        gather_seconds=gathered,
        fit_seconds=fitted,
        fit_cpu_seconds=used if backend == "implicit" else None,  # Spark uses another process
        peak_bytes=peak,
        segment_bytes=_total_bytes(folder.rglob("*.parquet")),
        array_bytes=_total_bytes(artifact.glob("*.npy")),
        document_bytes=_total_bytes(artifact.glob("*.json")),
    )


def _gather(folder: Path, interactions: int) -> tuple[Cells, int]:
    if interactions == SHIPPED:
        cells = shipped_cells()
        return cells, len(cells.user)
    segments = Segments(Objects(str(folder)), "sizing")
    whole = Span(0, interactions)
    found = gather(lambda columns: ((0, rows) for _, rows in segments.read(0, whole, columns)))
    return found.cells, found.interactions


def _total_bytes(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _children() -> list[int]:
    """Return the child processes: Spark's, which runs until we exit."""
    tasks = Path("/proc/self/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def _peak_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(row.split()[1]) * 1024 for row in lines if row.startswith("VmHWM:"))


def main(words: Sequence[str]) -> None:
    """Measure one training, and print what it took."""
    backend, interactions, factors, iterations, folder = words
    sized = measure_training(
        backend, int(interactions), int(factors), int(iterations), Path(folder)
    )
    print(encode(sized).decode(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
