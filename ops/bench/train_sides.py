"""The two sides of ``bench train``, each a process of its own: a whole run, and the bare minimum.

``python -m ops.bench.train_sides ours`` or ``bare INTERACTIONS``; prints one JSON line. Knows what
is measured where; must not know the bars. Linux only: memory is read from ``/proc``.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from confluent_kafka import Consumer, TopicPartition
from msgspec import Struct

from registry.errors import TransportError
from registry.records import TrainingProgress, encode
from registry.settings import Settings, read_settings
from registry.topics import client_config, topics_of
from training.fit import fit_als, one_blas_thread
from training.matrix import Csr
from training.run import parameters_of, train

BATCH: Final = 10_000
STALL_SECONDS: Final = 30.0


class Ours(Struct, frozen=True):
    """A run: how long each stage took, and the largest memory up to its end."""

    status: str
    seconds_by_stage: dict[str, float]
    peak_by_stage: dict[str, int]
    imported_bytes: int

    def grown_bytes(self, stage: str | None = None) -> int:
        """Return the peak up to the end of `stage`, or of all, less what the imports took."""
        peaks = self.peak_by_stage
        return (peaks[stage] if stage else max(peaks.values())) - self.imported_bytes


class Bare(Struct, frozen=True):
    """The bare read and the bare fit."""

    read_seconds: float
    fit_seconds: float
    matrix_bytes: int
    grown_bytes: int


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    return _status_bytes("VmHWM")


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kilobytes) * 1024


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def ours(settings: Settings) -> Ours:
    """Run once, as the retrain agent's child does."""
    imported = peak_bytes()
    peaks: dict[str, int] = {}

    def report(line: TrainingProgress) -> None:
        peaks.setdefault(line.stage, peak_bytes())

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
    return Ours(result.status, result.stage_seconds, _to_ends(peaks), imported)


def bare(settings: Settings, interactions: int) -> Bare:
    """Read the topic and throw the records away; fit the matrix, which is not made here."""
    started = time.monotonic()
    _read(settings)
    read = time.monotonic() - started
    matrix = _matrix(interactions)
    imported = _status_bytes("VmRSS") - _bytes_of(matrix)
    _forget_peak()
    with one_blas_thread():
        started = time.monotonic()
        fit_als(matrix, parameters_of(settings), settings.retrain_threads, lambda _done: None)
        fitted = time.monotonic() - started
    return Bare(read, fitted, _bytes_of(matrix), peak_bytes() - imported)


def _to_ends(peaks: dict[str, int]) -> dict[str, int]:
    """Return the peaks at the stages' ends from those at their beginnings."""
    return dict(zip(peaks, [*list(peaks.values())[1:], peak_bytes()], strict=True))


def _read(settings: Settings) -> int:
    topic = topics_of(settings).interactions.name
    consumer = Consumer(
        client_config(settings) | {"group.id": "bench", "enable.auto.commit": False}
    )
    parts = [TopicPartition(topic, one, 0) for one in range(settings.partitions)]
    total = sum(consumer.get_watermark_offsets(one, timeout=10)[1] for one in parts)
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
    from ops.bench.train import Sizes, pairs

    sizes = Sizes(interactions)
    keys = np.unique(np.concatenate([user * sizes.items + item for user, item in pairs(sizes)]))
    user, item = np.divmod(keys, sizes.items)
    indptr = np.concatenate(([0], np.cumsum(np.bincount(user, minlength=sizes.users))))
    values = np.ones(len(keys), np.float32)
    return Csr(indptr, item.astype(np.int32), values, (sizes.users, sizes.items))


def _bytes_of(matrix: Csr) -> int:
    return matrix.indptr.nbytes + matrix.indices.nbytes + matrix.values.nbytes


def main(words: Sequence[str]) -> int:
    """Run one side."""
    pa.array([0])  # imports pandas if it is there, as it is where the tests run
    settings = read_settings(os.environ)
    side = ours(settings) if words[0] == "ours" else bare(settings, int(words[1]))
    print(encode(side).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
