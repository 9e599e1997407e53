"""Latencies: from a request's timestamp to its confirmed answer, a batch at a time.

Pure. A producer whose clock is ahead sends requests from the future: their latency is not known,
and they are left out. Must not know who counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from streams.answering import Answer


def latencies_by(
    name_of: Callable[[Answer], str | None], answers: Iterable[Answer], now_ms: float
) -> Mapping[str, npt.NDArray[np.float64]]:
    """Return the known latencies of `answers`, float64 (n,), in seconds, by what they count for.

    Parameters
    ----------
    name_of
        Returns what an answer counts for; nothing, for None or an empty name.
    answers
        Confirmed.
    now_ms
        The wall clock, in milliseconds since the epoch, when they were.

    >>> answers = [Answer(b"1", b"", "r1", "v0.1", 500), Answer(b"2", b"", "r2", "v0.1", 3_000)]
    >>> latencies_by(lambda answer: answer.version, answers, now_ms=2_000)
    {'v0.1': array([1.5])}
    """
    timestamps: defaultdict[str, list[int]] = defaultdict(list)
    for answer in answers:
        if name := name_of(answer):
            timestamps[name].append(answer.timestamp_ms)
    seconds = {name: (now_ms - np.array(sent)) / 1000 for name, sent in timestamps.items()}
    return {name: known[known >= 0] for name, known in seconds.items()}
