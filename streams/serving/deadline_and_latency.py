"""Record timestamps: whether a request's deadline has passed, and how long its answer took.

Pure. The clock that stamped a record need not agree with ours: a producer whose clock is ahead
sends requests from the future, and a record may have no timestamp (-1). So a deadline never counts
from later than the request was read, and a latency that would be negative is unknown: it is
absent, and counted separately. Must not know who counts.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def is_expired(sent_ms: int, deadline_ms: int, received_ms: float, now_ms: float) -> bool:
    """Tell whether a request's deadline has passed.

    It counts from the record's timestamp: the producer's, or the broker's time of receipt where the
    topic has ``message.timestamp.type=LogAppendTime``. One that is later than the request was read,
    or missing, cannot be true: then it counts from there, or an hour ahead would mean an hour more.

    Parameters
    ----------
    sent_ms
        The record's timestamp, in milliseconds since the epoch.
    deadline_ms
        Milliseconds after it.
    received_ms
        When the worker had read the record; infinity if that is not known.
    now_ms
        The present.

    >>> is_expired(1_000, 50, received_ms=1_020, now_ms=1_051)
    True
    >>> is_expired(3_601_000, 50, received_ms=1_020, now_ms=1_060)
    False
    >>> is_expired(3_601_000, 50, received_ms=1_020, now_ms=1_071)
    True
    """
    start = sent_ms if 0 <= sent_ms <= received_ms else received_ms
    return now_ms > start + deadline_ms


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


def received_ms(read_at: Iterable[float | None], elapsed: float, now: float) -> float:
    """Return when the last of some slices was read, in milliseconds since the epoch.

    Parameters
    ----------
    read_at
        When each was read, by the monotonic clock; None where that is not known. At least one.
    elapsed, now
        The present, by the monotonic clock and by the wall clock, in seconds.

    >>> received_ms([40.0, 42.5], elapsed=45.0, now=1_000.0)
    997500.0
    """
    latest = max(at or elapsed for at in read_at)
    return (now - (elapsed - latest)) * 1000
