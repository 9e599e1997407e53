"""Memory of a served version, measured from outside on real processes by ``smaps_rollup``.

Run as a script it measures any size: ``python -m tests.contract.test_memory USERS ITEMS FACTORS``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from registry.artifact import ModelArrays
from registry.store import Store
from tests.unit.registry.builders import a_description

ROOT = Path(__file__).parents[2]

SERVE = """
import gc, json, sys
from registry.store import Store
from registry.model import Model
from registry.records import Request

def memory():  # in bytes; what is shared is counted in full by Rss, and by its share in Pss
    rows = [line.split() for line in open("/proc/self/smaps_rollup") if line.endswith("kB\\n")]
    return {row[0][:-1]: int(row[1]) * 1024 for row in rows}

store = Store(sys.argv[1])
gc.collect()
before = memory()
model = store.open("v0.1")
model.warm()
gc.collect()
print(json.dumps({"arrays": model.size_bytes, "rss": memory()["Rss"] - before["Rss"]}), flush=True)
sys.stdin.readline()
taken = {name.lower(): memory()[name] - before[name] for name in ("Rss", "Pss")}
print(json.dumps(taken), flush=True)
sys.stdin.readline()
model.recommend([Request("r", 1)])
"""


def arrays_of(users: int, items: int, factors: int, seen: int = 10) -> ModelArrays:
    random = np.random.default_rng(0)
    return ModelArrays(
        user_factors=random.standard_normal((users, factors), dtype=np.float32),
        item_factors=random.standard_normal((items, factors), dtype=np.float32),
        user_ids=list(range(1, users + 1)),
        item_ids=list(range(1, items + 1)),
        seen_indptr=np.arange(0, users * seen + 1, seen, dtype=np.int64),
        seen_items=random.integers(0, items, users * seen, dtype=np.int32),
        popularity=random.random(items),
        titles=[f"Film number {row}" for row in range(items)],
    )


def measured(url: str, workers: int = 2) -> list[dict[str, int]]:
    """Return each worker's bytes: of the arrays, resident alone, and shared among all."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SERVE, url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(workers)
    ]
    try:
        found = [json.loads(_line(one)) for one in processes]
        return [
            {"arrays": first["arrays"]} | json.loads(_asked(one))
            for first, one in zip(found, processes, strict=True)
        ]
    finally:
        for one in processes:
            one.communicate("go\n", timeout=60)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _asked(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return _line(process)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="Linux counts its pages")
def test_a_served_version_takes_at_most_1_3_times_its_arrays_and_two_workers_share_them(
    tmp_path: Path,
) -> None:
    Store(str(tmp_path)).publish(arrays_of(400_000, 10_000, 64), a_description())
    one, other = measured(str(tmp_path))
    assert max(one["rss"], other["rss"]) <= 1.3 * one["arrays"]
    assert one["pss"] + other["pss"] <= 1.3 * one["arrays"]


def main(arguments: Sequence[str]) -> None:
    users, items, factors = (int(argument) for argument in arguments)
    with tempfile.TemporaryDirectory() as folder:
        Store(folder).publish(arrays_of(users, items, factors), a_description())
        workers = measured(folder)
    size = workers[0]["arrays"]
    for worker in workers:
        print(
            {name: f"{value / 1e6:.1f} MB = {value / size:.2f}" for name, value in worker.items()}
        )
    print(f"two workers: {sum(one['pss'] for one in workers) / size:.2f} of the arrays together")


if __name__ == "__main__":
    main(sys.argv[1:])
