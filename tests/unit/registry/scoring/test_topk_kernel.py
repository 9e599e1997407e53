"""The kernel comes alone, and ``implicit`` is whole for who asks for it afterwards."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
sys.modules["pandas"] = None  # workers have none, and importing it takes half a second
from registry.scoring.topk_kernel import topk
import numpy as np
assert not any(name.startswith("scipy") for name in sys.modules), "SciPy was imported"
items = np.eye(4, dtype=np.float32)
rows, scores = topk(items, items[2:3], 1)
assert rows.tolist() == [[2]], rows
from implicit.cpu.als import AlternatingLeastSquares
assert AlternatingLeastSquares(factors=2).factors == 2
"""


def test_the_kernel_is_imported_without_the_rest_which_can_be_had_afterwards() -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], check=False, capture_output=True
    )
    assert ended.returncode == 0, ended.stderr.decode()
