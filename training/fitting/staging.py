"""The staging folder: a matrix goes out, and factors come back, as Parquet.

Knows Parquet and fsspec's file systems. Must not know Spark, except for Hadoop's names of these
file systems.

A killed run leaves its folder behind, with the matrix in it. A temporary folder is removed by the
next run on this machine: a live run holds a lock on its folder, which the system releases however
the run ends. On shared file systems locks cannot be trusted; there the removal is left to people.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from registry.error_codes import TrainingCode
from registry.errors import TrainingFailed
from training.data.matrix import Csr

SCHEMA: Final = pa.schema([("user", pa.int32()), ("item", pa.int32()), ("rating", pa.float32())])

RATINGS: Final = "ratings.parquet"

ROWS_AT_ONCE: Final = 4096
"""Users whose entries become one row group."""

PREFIX: Final = "recstream-spark-"
"""Of the temporary folders' names."""

ABANDONED_SECONDS: Final = 60.0
"""A folder that is younger may be about to be locked by the run that has just made it."""


@dataclass(frozen=True, slots=True)
class Staging:
    """A fresh folder that driver and executors see.

    Parameters
    ----------
    files
        The file system.
    folder
        On it.
    url
        The folder as Hadoop names it.
    """

    files: Any
    folder: str
    url: str

    def for_spark(self, name: str) -> str:
        """Return the URL by which Spark finds a file of the folder."""
        return f"{self.url}/{name}"

    def write(self, weights: Csr) -> None:
        """Write the entries as `RATINGS`, some users at a time."""
        path = f"{self.folder}/{RATINGS}"
        with pq.ParquetWriter(path, SCHEMA, filesystem=self.files) as writer:
            for start in range(0, weights.shape[0], ROWS_AT_ONCE):
                indptr = weights.indptr[start : start + ROWS_AT_ONCE + 1]
                users = np.arange(start, start + len(indptr) - 1, dtype=np.int32)
                entries = slice(indptr[0], indptr[-1])
                columns = (
                    np.repeat(users, np.diff(indptr)),
                    weights.indices[entries],
                    weights.values[entries],
                )
                writer.write_table(pa.table(dict(zip(SCHEMA.names, columns, strict=True)), SCHEMA))

    def factors(self, side: str, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Return the factors that Spark wrote as `side`; rows that it did not learn are zeros."""
        found = np.zeros(shape, np.float32)
        folder = f"{self.folder}/{side}"
        for batch in ds.dataset(folder, format="parquet", filesystem=self.files).to_batches():
            values = batch["features"].flatten().to_numpy()
            found[batch["id"].to_numpy()] = values.reshape(batch.num_rows, shape[1])
        return found


@contextmanager
def staged(weights: Csr, parent: str | None) -> Iterator[Staging]:
    """Make a fresh folder with the matrix in it, and delete it in the end.

    Parameters
    ----------
    weights
        The matrix.
    parent
        Folder or URL in which it is made; None: where temporary files are on this machine.

    Raises
    ------
    TrainingFailed
        ``spark_staging`` if the matrix cannot be written there.
    """
    with ExitStack() as held:
        try:
            made = held.enter_context(_temporary() if parent is None else _shared(parent))
            made.write(weights)
        except (OSError, ValueError, ImportError) as error:
            raise TrainingFailed(
                f"TRAIN_SPARK_STAGING={parent!r}: {error}; it must be a folder or an fsspec URL "
                f"that this process may write to, with room for the matrix",
                TrainingCode.SPARK_STAGING,
            ) from error
        yield made


@contextmanager
def _temporary() -> Iterator[Staging]:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        _remove_abandoned(folder)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as made, _lock(Path(made)):
        yield Staging(fsspec.filesystem("file"), made, Path(made).as_uri())


@contextmanager
def _shared(parent: str) -> Iterator[Staging]:
    asked = f"{parent.rstrip('/')}/{uuid.uuid4().hex}"
    files, folder = fsspec.url_to_fs(asked)
    files.makedirs(folder)
    try:
        yield Staging(files, folder, _hadoop_url(asked, folder))
    finally:
        files.rm(folder, recursive=True)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; no other process may hold it, or :class:`BlockingIOError` is raised."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)


def _remove_abandoned(folder: Path) -> None:
    """Remove the folder of a run that is gone."""
    try:
        with _lock(folder):
            if time.time() - folder.stat().st_mtime > ABANDONED_SECONDS:
                shutil.rmtree(folder)
    except (BlockingIOError, PermissionError, FileNotFoundError):
        return  # its run is alive, it is another user's, or somebody else has just removed it


def _hadoop_url(asked: str, folder: str) -> str:
    """Return the URL that Spark's file systems know: S3 is ``s3a`` there."""
    scheme = asked.partition("://")[0] if "://" in asked else "file"
    if scheme == "file":
        return Path(folder).as_uri()
    return re.sub(r"^s3://", "s3a://", asked)
