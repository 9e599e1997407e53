"""What workers log: nothing that needs no action is an error, and repeats are folded."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.workers import Worker

ALARMING = re.compile(r" (ERROR|CRITICAL) |Traceback")


def require_calm_logs(workers: Sequence[Worker], most_lines: int) -> int:
    """Return the most lines that any has logged: in its whole log, `most_lines` at most."""
    logs = [worker.log.read_text(errors="replace").splitlines() for worker in workers]
    alarming = [line for log in logs for line in log if ALARMING.search(line)]
    assert not alarming, f"{len(alarming)} alarming lines, such as {alarming[:5]}"
    most = max(map(len, logs))
    assert most <= most_lines, f"a worker has logged {most} lines"
    return most
