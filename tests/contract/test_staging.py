"""The staging folder on a real file system: what is in it, and what a killed run leaves of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.data.matrix import Csr
from training.fitting.staging import ABANDONED_SECONDS, RATINGS, staged

ROOT = Path(__file__).resolve().parents[2]

WEIGHTS = Csr(
    np.array([0, 2, 2, 3]),
    np.array([0, 4, 1], np.int32),
    np.array([1.0, 0.5, 2.0], np.float32),
    (3, 5),
)

HOLD = """
import sys, tempfile
from tests.contract.test_staging import WEIGHTS
from training.fitting.staging import staged
tempfile.tempdir = sys.argv[1]
with staged(WEIGHTS, None) as made:
    print(made.folder, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this machine's temporary files, empty."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@contextmanager
def another_run(temporary: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process that holds a staging folder, which seems to be as old as an abandoned one."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(temporary)], cwd=ROOT, stdin=pipe, stdout=pipe
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().decode().strip())
        long_ago = folder.stat().st_mtime - ABANDONED_SECONDS - 1
        os.utime(folder, (long_ago, long_ago))
        try:
            yield process, folder
        finally:
            process.kill()


def test_the_entries_are_written_by_row_and_column(temporary: Path) -> None:
    with staged(WEIGHTS, None) as made:
        read = pq.read_table(f"{made.folder}/{RATINGS}").to_pylist()

    assert [tuple(row.values()) for row in read] == [(0, 0, 1.0), (0, 4, 0.5), (2, 1, 2.0)]


def test_factors_come_back_in_their_rows_and_a_row_that_is_missing_is_zeros(
    temporary: Path,
) -> None:
    with staged(WEIGHTS, None) as made:
        (Path(made.folder) / "users").mkdir()
        written = pa.table({"id": [2, 0], "features": [[1.0, 2.0], [3.0, 4.0]]})
        pq.write_table(written, f"{made.folder}/users/part-0.parquet")

        assert made.factors("users", (3, 2)).tolist() == [[3, 4], [0, 0], [1, 2]]


@pytest.mark.parametrize("shared", [False, True])
def test_the_folder_is_gone_in_the_end_whatever_happened(temporary: Path, shared: bool) -> None:
    def fail() -> None:
        with staged(WEIGHTS, str(temporary) if shared else None) as made:
            assert list(temporary.iterdir()) == [Path(made.folder)]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert not list(temporary.iterdir())


def test_what_a_killed_run_left_is_removed_by_the_next_one(temporary: Path) -> None:
    with another_run(temporary) as (process, folder):
        with staged(WEIGHTS, None):
            assert folder.exists()  # it lives
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert folder.exists()
        with staged(WEIGHTS, None):
            assert not folder.exists()


def test_a_folder_that_may_be_about_to_be_locked_stays(temporary: Path) -> None:
    young, others = temporary / "recstream-spark-young", temporary / "something-else"
    for folder in (young, others):
        folder.mkdir()
    os.utime(others, (0, 0))

    with staged(WEIGHTS, None):
        assert young.exists()
        assert others.exists()


def test_a_url_is_told_to_spark_as_hadoop_names_it(tmp_path: Path) -> None:
    with staged(WEIGHTS, str(tmp_path)) as plain, staged(WEIGHTS, tmp_path.as_uri()) as url:
        assert plain.for_spark("users") == f"{Path(plain.folder).as_uri()}/users"
        assert url.for_spark("users") == f"{Path(url.folder).as_uri()}/users"
