"""What a training needs: bytes per user, item and interaction, seconds per million interactions.

``python -m ops.bench.sizing`` prints the table of docs/explanation/sizing.md; ``--quick`` is a
small run. It needs no Kafka: the synthetic interactions of ``bench train`` are written directly to
segments. Each row is measured in its own process (`ops.bench.sides.sizing_child`). Extrapolated
rows lie on the straight line through the measured ones. Without pyspark or Java there are no rows
for Spark, and a note says so. Linux only.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ops.bench.rig.bench_report import Cell
from ops.bench.rig.bench_run import Measured, publish_report, say
from ops.bench.rig.machine import cores
from ops.bench.rig.made_up_interactions import MadeUpSizes, pairs
from ops.bench.sides.sizing_child import SHIPPED, Sized
from ops.bench.train import FACTORS, ITERATIONS, MEGABYTE
from registry.errors import TransportError
from registry.storage.objects import Objects
from training.log.offset_ranges import Span
from training.log.rows import SCHEMA
from training.log.segments import Segments

CHILD: Final = (sys.executable, "-m", "ops.bench.sides.sizing_child")

MEASURED: Final = (1_000_000, 3_000_000, 10_000_000)
"""With less, all factors fit into the processor's caches, and the line would be too optimistic."""

BY_SPARK: Final = (1_000_000,)
QUICK: Final = (20_000, 40_000)
EXTRAPOLATED: Final = (10_000_000, 100_000_000, 1_000_000_000)


SEGMENT_ROWS: Final = 262_144
CHILD_SECONDS: Final = 1200.0

Ids = NDArray[np.int64]

GIGABYTE: Final = 1024 * MEGABYTE
MEMORY_GIGABYTES: Final = (8, 32, 128)
"""Machine sizes in the notes."""


def array_bytes(users: int, items: int, seen: int, factors: int) -> int:
    """Return the bytes of an artifact's arrays, as their dtypes say.

    float32 factors of users and items, an int64 per user for the start of the seen items, an int32
    for each of them, and a float64 per item for its popularity; of each seen item an int8, a
    float32 and, where times are whole seconds, an int32, for later events to merge with.

    >>> array_bytes(1_000_000, 0, 0, 64) / 1_000_000, array_bytes(0, 0, 1_000, 64)
    (264.000008, 13008)
    """
    return 4 * factors * (users + items) + 8 * (users + 1) + 13 * seen + 8 * items


def line(points: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return intercept and slope of the least-squares line.

    >>> [round(figure, 6) for figure in line([(0, 1), (1, 3), (2, 5)])]
    [1.0, 2.0]
    """
    x, y = np.array(list(points), np.float64).T
    slope, intercept = np.polyfit(x, y, 1)
    return float(intercept), float(slope)


def measure(sizes: Sequence[int], by_spark: Sequence[int]) -> Measured:
    """Measure each size in its own process, and extrapolate from `sizes`."""
    ours = [_measure_in_child("implicit", size) for size in (SHIPPED, *sizes)]
    theirs = [_measure_in_child("spark", size) for size in (SHIPPED, *by_spark)] if by_spark else []
    measured = ours[1:]
    rows = [_row(sized) for sized in (*ours, *theirs)]
    rows += [_extrapolate(measured, size) for size in EXTRAPOLATED]
    return Measured(
        parameters={"factors": FACTORS, "iterations": ITERATIONS, "threads": cores()},
        rows=rows,
        bars=[],
        notes=[*_notes(measured), *_ratios(ours, theirs)],
    )


def _row(sized: Sized) -> dict[str, Cell]:
    return {
        "who": sized.backend,
        "interactions": sized.interactions,
        "users": sized.users,
        "items": sized.items,
        "gather s": sized.gather_seconds,
        "fit s": sized.fit_seconds,
        "cpu s": sized.fit_cpu_seconds,
        "fit s/M": sized.fit_seconds / sized.interactions * 1e6,
        "peak MB": sized.peak_bytes / MEGABYTE,
        "snapshot MB": sized.segment_bytes / MEGABYTE if sized.segment_bytes else None,
        "artifact MB": (sized.array_bytes + sized.document_bytes) / MEGABYTE,
    }


def _extrapolate(measured: Sequence[Sized], interactions: int) -> dict[str, Cell]:
    found: dict[str, Cell] = {"who": "extrapolated", "interactions": interactions}
    for name in ("gather s", "fit s", "cpu s", "peak MB", "snapshot MB", "artifact MB"):
        intercept, slope = line(
            (float(sized.interactions), float(_row(sized)[name] or 0)) for sized in measured
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
    base, each = line((float(sized.interactions), float(sized.peak_bytes)) for sized in measured)
    seconds, per = line((float(sized.interactions), sized.fit_seconds) for sized in measured)
    yield (
        f"Peak memory: {base / MEGABYTE:.0f} MB and {each:.0f} bytes an interaction; a fit: "
        f"{seconds:.1f} s and {per * 1e6:.2f} s a million."
    )
    fits = ", ".join(
        f"{size} GB: {(0.8 * size * GIGABYTE - base) / each / 1e6:,.0f} million"
        for size in MEMORY_GIGABYTES
    )
    yield f"Interactions that fill four fifths of a machine's memory in a training: {fits}."


def _ratios(ours: Sequence[Sized], theirs: Sequence[Sized]) -> Iterator[str]:
    if not theirs:
        yield "Spark was not measured: pyspark or Java is missing, or the run was --quick."
    by_size = {sized.interactions: sized for sized in ours}
    for spark in theirs:
        same = by_size[spark.interactions]
        yield (
            f"Spark on this machine, {spark.interactions:,} interactions: "
            f"{spark.fit_seconds / same.fit_seconds:.1f} times the time of implicit's fit, startup "
            f"included, {spark.peak_bytes / same.peak_bytes:.1f} times the memory."
        )


def _measure_in_child(backend: str, interactions: int) -> Sized:
    """Measure in a child process."""
    say(f"{backend}: {f'{interactions:,}' if interactions else 'the shipped'} interactions")
    with tempfile.TemporaryDirectory(prefix="recstream-sizing-") as folder:
        if interactions:
            _write_segments(Path(folder), interactions)
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            ended = subprocess.run(
                [*CHILD, backend, str(interactions), str(FACTORS), str(ITERATIONS), folder],
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
    for user, item in pairs(MadeUpSizes(interactions)):
        for first in range(0, len(user), SEGMENT_ROWS):
            part = slice(first, first + SEGMENT_ROWS)
            rows = _rows(start, user[part], item[part])
            segments.add(0, Span(start, start + rows.num_rows), rows)
            start += rows.num_rows


def _rows(start: int, user: Ids, item: Ids) -> pa.Table:
    """Return `watch` events, a second apart."""
    many = len(user)
    offset = np.arange(start, start + many)
    values = {
        "offset": offset,
        "at": offset.astype(np.float64),
        "user_int": user,
        "item_int": item,
        "event": ["watch"] * many,
        "timestamp": offset.astype(np.float64),
    }
    nothing = pa.nulls(many)
    columns = [pa.array(values.get(field.name, nothing), field.type) for field in SCHEMA]
    return pa.table(columns, schema=SCHEMA)


def _has_spark() -> bool:
    return find_spec("pyspark") is not None and shutil.which("java") is not None


def main(words: Sequence[str]) -> int:
    """Measure all sizes, and print the report."""
    sizes = QUICK if "--quick" in words else MEASURED
    by_spark = BY_SPARK if sizes is MEASURED and _has_spark() else ()
    what = "one training without Kafka: read segments, make the matrix, fit once"
    publish_report("sizing", what, "not used", None, lambda: measure(sizes, by_spark))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
