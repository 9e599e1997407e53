"""Durations as DDSketch buckets: how they are counted, and which durations a count stands for.

Pure. Knows the buckets' edges and order. Must not know what was timed, nor what is concluded from
it (`registry.guardrails.verdicts`).

Bucket ``i`` holds the durations in ``(γ^(i-1), γ^i]``, ``γ = (1 + a) / (1 - a)`` with ``a`` the
relative accuracy (Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees", PVLDB 12(12), 2019). The package `ddsketch` does the mapping; buckets
are a plain ``dict`` (`registry.wire.counts.Histogram`), because counts that are summed over workers
and sent each second as JSON need no sketch object.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from ddsketch.mapping import LogarithmicMapping
from numpy.typing import NDArray

from registry.errors import ShapeError
from registry.wire.counts import Histogram

RELATIVE_ACCURACY: Final = 0.02
"""Share by which a duration read from a bucket may be off. Finer means more buckets in every
heartbeat; coarser, and a version that is 5 % slower looks the same. Changing it makes the counts
of old and new workers incomparable."""

LEAST_SECONDS: Final = 1e-6
"""What is shorter shares the bucket of this: no clock here tells such durations apart."""

MAPPING: Final = LogarithmicMapping(RELATIVE_ACCURACY)
LEAST_BUCKET: Final = MAPPING.key(LEAST_SECONDS)


class DurationBounds(NamedTuple):
    """What an unknown duration lies between, in seconds; ``upper`` may be infinite."""

    lower: float
    upper: float


def bucket_counts(seconds: NDArray[np.float64]) -> Histogram:
    """Count `seconds` by bucket.

    Parameters
    ----------
    seconds
        Durations, float64 (n,), each finite and at least 0; those up to `LEAST_SECONDS`, zero
        included, are counted in `LEAST_BUCKET`. Of none, the count is empty.

    Raises
    ------
    ShapeError
        If one is negative, infinite or not a number: the clock was read wrongly.

    Examples
    --------
    >>> bucket_counts(np.array([0.0010, 0.0011, 0.2, 0.2]))
    {-172: 1, -170: 1, -40: 2}
    """
    if not len(seconds):
        return {}
    shortest, longest = float(seconds.min()), float(seconds.max())
    if not 0 <= shortest <= longest < math.inf:
        raise ShapeError(
            f"durations from {shortest} to {longest} seconds; each must be finite and at least 0"
        )
    measurable = np.maximum(seconds, LEAST_SECONDS)
    buckets = np.ceil(np.log(measurable) / math.log(MAPPING.gamma)).astype(np.int64)
    first = int(buckets.min())
    counts = np.bincount(buckets - first)
    present = np.flatnonzero(counts)
    return dict(zip((present + first).tolist(), counts[present].tolist(), strict=True))


def bounds_of(bucket: int) -> DurationBounds:
    """Return the durations that `bucket` holds, in seconds.

    >>> bounds_of(LEAST_BUCKET).lower
    0.0
    """
    middle = MAPPING.value(bucket)
    lower = 0.0 if bucket <= LEAST_BUCKET else middle / (1 + RELATIVE_ACCURACY)
    return DurationBounds(lower, middle / (1 - RELATIVE_ACCURACY))


def bucket_at(histogram: Mapping[int, int], rank: int) -> int:
    """Return the bucket of the `rank`-th shortest duration, counted from 1.

    Raises
    ------
    ShapeError
        If the histogram holds fewer.
    """
    below = 0
    for bucket in sorted(histogram):
        below += histogram[bucket]
        if 1 <= rank <= below:
            return bucket
    raise ShapeError(f"rank {rank} of {below} durations; ranks go from 1 to their number")


def quantile(histogram: Mapping[int, int], share: float) -> float | None:
    """Return the duration that `share` of all stay within, in seconds.

    The ``⌈share · n⌉``-th shortest, within `RELATIVE_ACCURACY` if it is above `LEAST_SECONDS`.

    Parameters
    ----------
    histogram
        Durations by bucket; of none, the answer is None.
    share
        0..1.

    Raises
    ------
    ShapeError
        If `share` is none.

    Examples
    --------
    >>> round(quantile({-172: 90, -40: 10}, 0.9), 5), round(quantile({-172: 90, -40: 10}, 0.91), 3)
    (0.00101, 0.198)
    """
    if not 0 <= share <= 1:
        raise ShapeError(f"quantile {share}: must be between 0 and 1")
    count = sum(histogram.values())
    if not count:
        return None
    return MAPPING.value(bucket_at(histogram, max(1, math.ceil(share * count))))
