"""The guardian: a tiny process that ends a group of child processes when their owner has died.

Uses the standard library only. :mod:`ops.local.child_group` starts it as a script, as the leader of
the group. It waits for the end of its standard input, whose other end only the owner holds, so it
notices every way in which the owner can die, SIGKILL included.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

ORDERLY = b"stopped"
"""What an owner writes after it has ended its children and removed its folder itself."""

GRACE_SECONDS = 3.0
"""Time between SIGTERM and SIGKILL. Less would cut off a worker's last commit."""


def main(folder: str) -> None:
    """Wait until the owner ends; unless that was orderly, end the group and remove `folder`."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read() == ORDERLY:
        return
    os.killpg(os.getpgrp(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
