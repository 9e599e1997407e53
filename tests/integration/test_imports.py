"""What a fresh interpreter imports, and what it does without."""

from __future__ import annotations

import os
import subprocess
import sys

KERNEL_ALONE = """
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


def modules_imported_by(*words: str, **variables: str) -> set[str]:
    """Return the names of all modules that a fresh process has imported when `words` have run."""
    script = (
        "import sys\nfrom ops.cli.main import main\n"
        f"sys.argv = ['recstream', *{list(words)!r}]\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    child = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode in (0, 2), child.stderr
    return set(child.stderr.split())


SLOW_TO_IMPORT = {
    "aiohttp", "aiokafka", "confluent_kafka", "faust", "fsspec", "implicit", "jinja2", "numpy",
    "pyarrow", "pydantic", "registry.settings", "scipy", "yaml",
}  # fmt: skip


def test_help_imports_no_client_no_settings_and_no_mathematics() -> None:
    """`recstream --help` is to answer in 0.3 s, of which Python, typer and rich take most."""
    imported = modules_imported_by("--help")
    assert imported & SLOW_TO_IMPORT == set()
    ours = {name for name in imported if name.startswith(("ops.", "streams", "training"))}
    assert {name for name in ours if not name.startswith(("ops.cli", "ops.views"))} == set()
    assert {name for name in ours if name.startswith("ops.views.")} == {"ops.views.escape_text"}


def test_status_imports_no_mathematics_and_no_server_before_it_asks_kafka() -> None:
    """`recstream rollout status` is to be up in 0.8 s; NumPy alone takes a tenth of that."""
    imported = modules_imported_by("rollout", "status", RECSTREAM_PARTITIONS="many")
    assert "ops.clients.fleet_observer" in imported
    assert imported & {"aiohttp", "faust", "implicit", "jinja2", "numpy", "scipy"} == set()


def test_the_kernel_is_imported_without_the_rest_which_can_be_had_afterwards() -> None:
    """The kernel comes alone, and ``implicit`` is whole for who asks for it afterwards."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KERNEL_ALONE], check=False, capture_output=True
    )
    assert ended.returncode == 0, ended.stderr.decode()
