"""Three minutes of the soak: everything happens once at least, and no request is lost.

The long form, ``python -m ops.bench.soak --minutes 60``, judges what grows as well.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from harness.workers import ROOT

MINUTES = 3


def test_a_fleet_to_which_everything_happens_loses_no_request(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    report = tmp_path / "soak.json"
    asked = ["--minutes", str(MINUTES), "--seed", "1", "--rate", "50", "--json", str(report)]
    run = subprocess.run(
        [sys.executable, "-m", "ops.bench.soak", *asked],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=MINUTES * 60 + 240,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(report.read_bytes())
    assert found["parameters"]["lost"] == 0
    figure(
        f"{found['parameters']['answered']} of {found['parameters']['asked']:,}, "
        f"{found['parameters']['answered again']} again; {found['parameters']['events']}; "
        f"longest waits {found['parameters']['longest waits']}"
    )
