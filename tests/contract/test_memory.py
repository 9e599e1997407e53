"""Memory of a served version, by what ``bench load`` measures of real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.bench.load import MEMORY_BAR, open_together
from ops.bench.rig.synthetic import Shape, publish_model
from registry.errors import TransportError

SHAPE = Shape(users=400_000, items=10_000, seen=10)


@pytest.mark.skipif(
    not Path("/proc/self/smaps").exists(),
    reason="only Linux tells of a process which of its pages are shared",
)
def test_a_served_version_takes_at_most_1_3_times_its_arrays_and_two_processes_share_them(
    shared_url: str, tmp_path: Path
) -> None:
    version = publish_model(shared_url, 0, SHAPE)
    what = (shared_url, str(tmp_path / "cache"), version)
    mapped = open_together("mapped", what)
    copied = open_together("copied", what)

    arrays = mapped[0].array_bytes
    assert max(process.memory.resident for process in mapped) <= MEMORY_BAR * arrays
    assert sum(process.memory.proportional for process in mapped) <= MEMORY_BAR * arrays
    # the control: what is not shared shows
    assert sum(process.memory.proportional for process in copied) >= 2 * arrays


def test_a_process_that_cannot_open_it_ends_the_benchmark(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="exited with code 1"):
        open_together("mapped", (str(tmp_path), str(tmp_path / "cache"), "v0.1"))
