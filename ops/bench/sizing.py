"""How much a training needs: bytes a user, item and interaction, seconds a million interactions.

``python -m ops.bench.sizing`` prints the table of docs/explanation/sizing.md; ``--quick`` is a
small run. It needs no Kafka: the made-up interactions of ``bench train`` are put straight into
segments. Each row is a process of its own, which reads its segments, makes the matrix and fits
once; then the artifact is written and weighed. Extrapolated rows are the straight line through the
measured ones.

Knows what is measured and how it is extended; must not know how a fit works. Linux only: memory is
read from ``/proc``. Without pyspark or Java there are no rows of Spark, and a note says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Struct
from numpy.typing import NDArray

from ops.bench.quality import shipped_cells
from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured, publish_report, say
from ops.bench.rig.machine import cores
from ops.bench.rig.made_up_interactions import SEED, Sizes, pairs
from ops.bench.sides.train_sides import peak_bytes
from ops.bench.train import FACTORS, ITERATIONS, MEGABYTE
from registry.errors import TransportError
from registry.settings import read_settings
from registry.storage.objects import Objects
from registry.versions.artifact import write_artifact
from registry.versions.manifest import Parameters
from registry.wire.codec import encode
from training.data.gathering import gather
from training.data.matrix import Cells, csr, weights
from training.data.offset_ranges import Span
from training.data.rows import SCHEMA
from training.data.segments import Segments
from training.fitting.als import one_blas_thread
from training.fitting.backends import fit_of
from training.runs.run import arrays_of

MEASURED: Final = (1_000_000, 3_000_000, 10_000_000)
"""With less, all factors are in the processor's caches, and the line would promise too much."""

BY_SPARK: Final = (1_000_000,)
QUICK: Final = (20_000, 40_000)
EXTRAPOLATED: Final = (10_000_000, 100_000_000, 1_000_000_000)

SHIPPED: Final = 0
"""Instead of a number of interactions: the ratings that ship with the demo."""

REGULARIZATION: Final = 3.0
SEGMENT_ROWS: Final = 262_144
CHILD_SECONDS: Final = 1200.0

Ids = NDArray[np.int64]

GIGABYTE: Final = 1024 * MEGABYTE
MEMORY_GIGABYTES: Final = (8, 32, 128)
"""Machines for which the notes say what fits."""


class Sized(Struct, frozen=True):
    """What one process found."""

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


def array_bytes(users: int, items: int, seen: int, factors: int) -> int:
    """Return the bytes of an artifact's arrays, as their dtypes say.

    float32 factors of users and items, an int64 a user for where the seen items begin, an int32 for
    each, a float64 an item for its popularity.

    >>> array_bytes(1_000_000, 0, 0, 64) / 1_000_000, array_bytes(0, 0, 1_000, 64)
    (264.000008, 4008)
    """
    return 4 * factors * (users + items) + 8 * (users + 1) + 4 * seen + 8 * items


def line(points: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return intercept and slope of the straight line of least squares.

    >>> [round(one, 6) for one in line([(0, 1), (1, 3), (2, 5)])]
    [1.0, 2.0]
    """
    x, y = np.array(list(points), np.float64).T
    slope, intercept = np.polyfit(x, y, 1)
    return float(intercept), float(slope)


def measure(sizes: Sequence[int], by_spark: Sequence[int]) -> Measured:
    """Measure each size in a process of its own, and extend the lines through `sizes`."""
    ours = [_child("implicit", one) for one in (SHIPPED, *sizes)]
    theirs = [_child("spark", one) for one in (SHIPPED, *by_spark)] if by_spark else []
    measured = ours[1:]
    rows = [_row(one) for one in (*ours, *theirs)]
    rows += [_extended(measured, one) for one in EXTRAPOLATED]
    return Measured(
        parameters={"factors": FACTORS, "iterations": ITERATIONS, "threads": cores()},
        rows=rows,
        bars=[],
        notes=[*_notes(measured), *_ratios(ours, theirs)],
    )


def _row(one: Sized) -> dict[str, Cell]:
    return {
        "who": one.backend,
        "interactions": one.interactions,
        "users": one.users,
        "items": one.items,
        "gather s": one.gather_seconds,
        "fit s": one.fit_seconds,
        "cpu s": one.fit_cpu_seconds,
        "fit s/M": one.fit_seconds / one.interactions * 1e6,
        "peak MB": one.peak_bytes / MEGABYTE,
        "snapshot MB": one.segment_bytes / MEGABYTE if one.segment_bytes else None,
        "artifact MB": (one.array_bytes + one.document_bytes) / MEGABYTE,
    }


def _extended(measured: Sequence[Sized], interactions: int) -> dict[str, Cell]:
    found: dict[str, Cell] = {"who": "extrapolated", "interactions": interactions}
    for name in ("gather s", "fit s", "cpu s", "peak MB", "snapshot MB", "artifact MB"):
        intercept, slope = line(
            (float(one.interactions), float(_row(one)[name] or 0)) for one in measured
        )
        found[name] = intercept + slope * interactions
    return found


def _notes(measured: Sequence[Sized]) -> Iterator[str]:
    largest = measured[-1]
    formula = array_bytes(largest.users, largest.items, largest.cells, FACTORS)
    yield (
        f"Arrays of the largest artifact: {largest.array_bytes:,} bytes; by the formula, without "
        f"the headers of the files, {formula:,}."
    )
    base, each = line((float(one.interactions), float(one.peak_bytes)) for one in measured)
    seconds, per = line((float(one.interactions), one.fit_seconds) for one in measured)
    yield (
        f"Peak memory: {base / MEGABYTE:.0f} MB and {each:.0f} bytes an interaction; a fit: "
        f"{seconds:.1f} s and {per * 1e6:.2f} s a million."
    )
    fits = ", ".join(
        f"{one} GB: {(0.8 * one * GIGABYTE - base) / each / 1e6:,.0f} million"
        for one in MEMORY_GIGABYTES
    )
    yield f"Interactions whose training takes four fifths of a machine's memory: {fits}."


def _ratios(ours: Sequence[Sized], theirs: Sequence[Sized]) -> Iterator[str]:
    if not theirs:
        yield "Spark was not measured: pyspark or Java is missing, or the run was --quick."
    by_size = {one.interactions: one for one in ours}
    for one in theirs:
        same = by_size[one.interactions]
        yield (
            f"Spark on this machine, {one.interactions:,} interactions: "
            f"{one.fit_seconds / same.fit_seconds:.1f} times the time of implicit's fit, its start "
            f"included, {one.peak_bytes / same.peak_bytes:.1f} times the memory."
        )


def _child(backend: str, interactions: int) -> Sized:
    """Measure in a process of its own."""
    say(f"{backend}: {f'{interactions:,}' if interactions else 'the shipped'} interactions")
    with tempfile.TemporaryDirectory(prefix="recstream-sizing-") as folder:
        if interactions:
            _write_segments(Path(folder), interactions)
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            ended = subprocess.run(
                [sys.executable, "-m", "ops.bench.sizing", backend, str(interactions), folder],
                stdout=subprocess.PIPE,
                stderr=errors,
                timeout=CHILD_SECONDS,
                check=False,
            )
        if ended.returncode:
            raise TransportError(f"{backend}, {interactions}: {log.read_text()[-2000:]}")
    return msgspec.json.decode(ended.stdout.splitlines()[-1], type=Sized)


def _write_segments(folder: Path, interactions: int) -> None:
    segments, start = Segments(Objects(str(folder)), "sizing"), 0
    for user, item in pairs(Sizes(interactions)):
        for first in range(0, len(user), SEGMENT_ROWS):
            part = slice(first, first + SEGMENT_ROWS)
            rows = _rows(start, user[part], item[part])
            segments.add(0, Span(start, start + rows.num_rows), rows)
            start += rows.num_rows


def _rows(start: int, user: Ids, item: Ids) -> pa.Table:
    """Return `watch` events, a second apart."""
    many = len(user)
    offset = np.arange(start, start + many)
    told = {
        "offset": offset,
        "at": offset.astype(np.float64),
        "user_int": user,
        "item_int": item,
        "event": ["watch"] * many,
        "timestamp": offset.astype(np.float64),
    }
    nothing = pa.nulls(many)
    columns = [pa.array(told.get(one.name, nothing), one.type) for one in SCHEMA]
    return pa.table(columns, schema=SCHEMA)


def sized(backend: str, interactions: int, folder: Path) -> Sized:
    """Gather, fit and write, in this process."""
    settings = read_settings({**os.environ, "TRAIN_BACKEND": backend})
    parameters = Parameters(FACTORS, ITERATIONS, REGULARIZATION, 1.0, SEED)
    started = time.monotonic()
    cells, count = _gathered(folder, interactions)
    weight = weights(cells, parameters)
    matrix = csr(cells, weight > 0, weight)
    gathered = time.monotonic() - started
    with one_blas_thread():
        started, used = time.monotonic(), time.process_time()
        factors = fit_of(settings)(matrix, parameters, cores(), lambda _done: None)
        fitted, used = time.monotonic() - started, time.process_time() - used
    peak = peak_bytes() + sum(map(_peak_of, _children()))
    artifact = folder / "artifact"
    write_artifact(arrays_of(cells, factors, parameters), artifact)
    return Sized(
        backend=backend,
        interactions=count,
        users=cells.shape[0],
        items=cells.shape[1],
        cells=len(cells.user),
        gather_seconds=gathered,
        fit_seconds=fitted,
        fit_cpu_seconds=used if backend == "implicit" else None,  # Spark's is not of this process
        peak_bytes=peak,
        segment_bytes=_weight(folder.rglob("*.parquet")),
        array_bytes=_weight(artifact.glob("*.npy")),
        document_bytes=_weight(artifact.glob("*.json")),
    )


def _gathered(folder: Path, interactions: int) -> tuple[Cells, int]:
    if interactions == SHIPPED:
        cells = shipped_cells()
        return cells, len(cells.user)
    segments = Segments(Objects(str(folder)), "sizing")
    whole = Span(0, interactions)
    found = gather(lambda columns: ((0, rows) for _, rows in segments.read(0, whole, columns)))
    return found.cells, found.interactions


def _weight(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _children() -> list[int]:
    """Return the processes that this one has started: Spark's, which stays until we end."""
    tasks = Path("/proc/self/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def _peak_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(one.split()[1]) * 1024 for one in lines if one.startswith("VmHWM:"))


def _has_spark() -> bool:
    return find_spec("pyspark") is not None and shutil.which("java") is not None


def main(words: Sequence[str]) -> int:
    """Measure all, or be the process that measures one."""
    if len(words) == 3:
        backend, interactions, folder = words
        print(encode(sized(backend, int(interactions), Path(folder))).decode(), flush=True)
        return 0
    sizes = QUICK if "--quick" in words else MEASURED
    by_spark = BY_SPARK if sizes is MEASURED and _has_spark() else ()
    what = "one training without Kafka: read segments, make the matrix, fit once"
    publish_report("sizing", what, "not used", None, lambda: measure(sizes, by_spark))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
