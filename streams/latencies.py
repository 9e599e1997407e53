"""Latencies: from the requests' timestamps to their confirmed answers, a batch at a time.

Pure. A producer whose clock is ahead sends requests from the future: their latency is not known,
and they are left out. Must not know who counts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def known_latencies(sent_ms: npt.NDArray[np.int64], now_ms: float) -> npt.NDArray[np.float64]:
    """Return the known latencies, float64 (m,), in seconds; m is at most n.

    Parameters
    ----------
    sent_ms
        The requests' timestamps, int64 (n,), in milliseconds since the epoch.
    now_ms
        The wall clock, in the same, when their answers were confirmed.

    >>> known_latencies(np.array([500, 3_000]), now_ms=2_000).tolist()
    [1.5]
    """
    seconds = (now_ms - sent_ms) / 1000
    return seconds[seconds >= 0]
