"""Latencies: the time between the clock that stamped a request and ours.

Pure. The two need not agree: a producer whose clock is ahead sends requests from the future, and a
record may have no timestamp (-1). A duration that would be negative is unknown: it is absent, and
counted separately. Must not know who counts.
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

    >>> known_latencies(np.array([500, 3_000, -1]), now_ms=2_000).tolist()
    [1.5]
    """
    seconds = (now_ms - sent_ms) / 1000
    return seconds[(seconds >= 0) & (sent_ms >= 0)]


def latency_ms(sent_ms: int, now_ms: float) -> float | None:
    """Return the milliseconds from a request's timestamp to `now_ms`; None if they are not known.

    >>> latency_ms(500, 2_000.0), latency_ms(3_000, 2_000.0), latency_ms(-1, 2_000.0)
    (1500.0, None, None)
    """
    return now_ms - sent_ms if 0 <= sent_ms <= now_ms else None
