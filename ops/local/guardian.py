"""The guardian: a tiny process that ends a group of children when their owner is gone.

Standard library only, started as a script by :mod:`ops.local.child_group`, as the leader of the
group. It waits for the end of its standard input, whose other end only the owner holds, so that it
notices every way in which the owner can end, SIGKILL included.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time

ORDERLY = b"stopped"
"""What an owner writes that has ended its children and removed its folder itself."""

GRACE_SECONDS = 3.0
"""Between asking the children to end and ending them. Less cuts off a worker's last commit."""


def main(folder: str) -> None:
    """Wait for the owner's end; unless it was orderly, end the group and remove `folder`."""
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
