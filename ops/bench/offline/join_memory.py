"""``python -m ops.bench.offline.join_memory``: what a worker's open answers take in memory.

Needs no Kafka: a million answers of ten items each, to 200,000 users in four partitions, none of
whose windows has closed.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Final

from registry.outcomes.attribution import Attribution, Exposure

EXPOSURES: Final = 1_000_000
USERS: Final = 200_000
ITEMS: Final = 100_000
PARTITIONS: Final = 4
PAGE_BYTES: Final = 4_096


def main() -> int:
    """Print megabytes and microseconds."""
    rng = random.Random(15)
    joins = [Attribution(window_ms=3_600_000) for _ in range(PARTITIONS)]
    before, began = _resident_bytes(), time.process_time()
    spent = 0.0
    for place in range(EXPOSURES):
        user = rng.randrange(USERS)
        items = tuple(rng.randrange(ITEMS) for _ in range(10))
        exposure = Exposure(user, f"{rng.getrandbits(128):032x}", items)
        at = time.perf_counter()
        joins[user % PARTITIONS].expose(place * 3, exposure)
        spent += time.perf_counter() - at
    grown = _resident_bytes() - before
    print(
        f"{EXPOSURES:,} answers within the window, {USERS:,} users: {grown / 1e6:,.0f} MB, "
        f"{grown / EXPOSURES:,.0f} bytes each; {spent / EXPOSURES * 1e6:.1f} µs each "
        f"({time.process_time() - began:.0f} s of CPU time with the draws)"
    )
    return 0


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


if __name__ == "__main__":
    sys.exit(main())
