"""The sides of ``bench train``, each a process of its own: a whole run, a bare read, a bare fit.

``python -m ops.bench.sides.train_sides ours``, ``read own|default``, ``matrix INTERACTIONS FOLDER``
or ``fit FOLDER``; prints one JSON line. Knows what is measured where; must not know the bars. Linux
only: memory is read from ``/proc``. What the imports take is not counted; a process of its own is
needed, because what one step gives back the next one takes without any growth.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from confluent_kafka import Consumer, TopicPartition
from msgspec import Struct

from registry.connection.client_config import client_config
from registry.errors import TransportError
from registry.kafka.topics import topics_of
from registry.settings import Settings, read_settings
from registry.wire.codec import encode
from registry.wire.training_records.training_messages import TrainingProgress
from training.data.matrix import Csr, starts_of
from training.fitting.als import fit_als, one_blas_thread
from training.fitting.size_rules import settle_sizes
from training.log.interaction_log import READING
from training.runs.run_rules import parameters_of
from training.runs.run_stages import train

BATCH: Final = 10_000
STALL_SECONDS: Final = 30.0
MATRIX: Final = "matrix.npz"


class MeasuredStage(Struct, frozen=True):
    """One stage of a run, the way to the next one included: how much memory up to its end."""

    name: str
    seconds: float
    grown_bytes: int


class Ours(Struct, frozen=True):
    """A run, by its stages in order; `fit` occurs twice."""

    status: str
    stages: list[MeasuredStage]
    cpu_seconds: float

    @property
    def seconds(self) -> float:
        """From the first stage to the end of the run."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def grown_bytes(self) -> int:
        """The most memory of the whole run."""
        return max(stage.grown_bytes for stage in self.stages)


class Read(Struct, frozen=True):
    """A bare read."""

    seconds: float
    cpu_seconds: float


class Made(Struct, frozen=True):
    """A matrix in a file, as long as it is in memory."""

    matrix_bytes: int


class Fitted(Struct, frozen=True):
    """A bare fit, and how much memory matrix, transposed matrix and factors have taken."""

    seconds: float
    cpu_seconds: float
    grown_bytes: int


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    return _status_bytes("VmHWM")


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kilobytes) * 1024


def _imported_bytes() -> int:
    """Return the resident memory of now, and forget the peak before it."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_bytes("VmRSS")


def ours(settings: Settings) -> Ours:
    """Run once, as the retrain agent's child does."""
    imported, used = _imported_bytes(), time.process_time()
    marks: list[tuple[str, float, int]] = []

    def mark(name: str) -> None:
        marks.append((name, time.monotonic(), peak_bytes() - imported))

    def report(line: TrainingProgress) -> None:
        if not line.total and (not marks or marks[-1][0] != line.stage):  # a stage begins
            mark(line.stage)

    result = train(
        settings,
        parameters_of(settings),
        run_id=uuid.uuid4().hex,
        incumbent=None,
        report=report,
        created_by="recstream bench",
    )
    if result.status == "failed":
        raise TransportError(f"the run failed: {result.reason}")
    mark("end")
    stages = [
        MeasuredStage(name, after - before, grown)
        for (name, before, _), (_, after, grown) in pairwise(marks)
    ]
    return Ours(result.status, stages, time.process_time() - used)


def read(settings: Settings, how: str) -> Read:
    """Read the topic and throw the records away.

    Parameters
    ----------
    settings
        Which topic.
    how
        ``own``: the client waits as a snapshot has it wait; ``default``: as it comes.
    """
    started, used = time.monotonic(), time.process_time()
    _read(settings, READING if how == "own" else {})
    return Read(time.monotonic() - started, time.process_time() - used)


def matrix(interactions: int, folder: Path) -> Made:
    """Build the matrix of the given number of interactions."""
    made = _matrix(interactions)
    np.savez(folder / MATRIX, **made._asdict())
    return Made(made.indptr.nbytes + made.indices.nbytes + made.values.nbytes)


def fit(settings: Settings, folder: Path) -> Fitted:
    """Fit the matrix."""
    imported = _imported_bytes()
    with np.load(folder / MATRIX) as file:
        made = Csr(file["indptr"], file["indices"], file["values"], tuple(file["shape"].tolist()))
    with one_blas_thread():
        parameters = settle_sizes(parameters_of(settings), made)
        started, used = time.monotonic(), time.process_time()
        fit_als(made, parameters, settings.retrain_threads, lambda _done: None)
        fitted, used = time.monotonic() - started, time.process_time() - used
    return Fitted(fitted, used, peak_bytes() - imported)


def _read(settings: Settings, more: dict[str, Any]) -> int:
    topic = topics_of(settings).interactions.name
    consumer = Consumer(
        client_config(settings) | {"group.id": "bench", "enable.auto.commit": False} | more
    )
    parts = [TopicPartition(topic, number, 0) for number in range(settings.partitions)]
    total = sum(consumer.get_watermark_offsets(part, timeout=10)[1] for part in parts)
    consumer.assign(parts)
    seen = size = 0
    moved = time.monotonic()
    while seen < total:
        batch = consumer.consume(min(BATCH, total - seen), timeout=0.1)
        seen += len(batch)
        size += sum(len(message.value() or b"") for message in batch)
        moved = time.monotonic() if batch else moved
        if time.monotonic() - moved > STALL_SECONDS:
            raise TransportError(f"{topic}: {seen} of {total} records came")
    consumer.close()
    return size


def _matrix(interactions: int) -> Csr:
    from ops.bench.rig.made_up_interactions import MadeUpSizes, pairs

    sizes = MadeUpSizes(interactions)
    keys = np.unique(np.concatenate([user * sizes.items + item for user, item in pairs(sizes)]))
    user, item = np.divmod(keys, sizes.items)
    indptr = starts_of(np.bincount(user, minlength=sizes.users))
    values = np.ones(len(keys), np.float32)
    return Csr(indptr, item.astype(np.int32), values, (sizes.users, sizes.items))


def main(words: Sequence[str]) -> int:
    """Run one side."""
    pa.array([0])  # imports pandas if it is there, as it is where the tests run
    settings = read_settings(os.environ)
    side, *arguments = words
    sides: dict[str, Callable[[], Struct]] = {
        "ours": lambda: ours(settings),
        "read": lambda: read(settings, *arguments),
        "matrix": lambda: matrix(int(arguments[0]), Path(arguments[1])),
        "fit": lambda: fit(settings, Path(*arguments)),
    }
    print(encode(sides[side]()).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
