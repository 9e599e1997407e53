"""The alert rules, judged by Prometheus' own tool."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROMETHEUS = Path(__file__).parents[2] / "ops" / "monitoring" / "prometheus"


@pytest.mark.skipif(
    shutil.which("promtool") is None and os.environ.get("CI") != "true",
    reason="promtool comes with Prometheus, not with Python; CI has it, this machine does not",
)
@pytest.mark.parametrize(("what", "file"), [("check", "alerts.yml"), ("test", "alerts_test.yml")])
def test_promtool_finds_the_alerts_valid_and_right(what: str, file: str) -> None:
    asked = ["promtool", what, "rules", str(PROMETHEUS / file)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
