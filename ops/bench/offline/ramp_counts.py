"""What a fleet counts in simulated ramps: how versions behave, and the counts of each arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from registry.guardrails.histogram import bucket_counts
from registry.wire.counts import ArmCounts

Floats = NDArray[np.float64]

Counts = NDArray[np.int64]

SPREAD: Final = 0.3
"""Standard deviation of the logarithm of scoring times: the 99th percentile is twice the median."""


@dataclass(frozen=True, slots=True)
class Version:
    """How a version behaves: shares of its requests, and its median scoring time in seconds."""

    errors: float = 0.002
    fallbacks: float = 0.02
    empty: float = 0.001
    scoring_seconds: float = 0.004


@dataclass(frozen=True, slots=True)
class SimulatedTraffic:
    """Per second: requests, new users, and at most so many scoring times of each arm."""

    requests: int = 1000
    users: int = 100
    timed: int = 20


@dataclass(frozen=True, slots=True)
class SimulatedArm:
    """Counts since the step began, int64 (runs, seconds); `scoring` (runs, seconds, buckets)."""

    requests: Counts
    users: Counts
    bad: dict[str, Counts]
    scoring: Counts
    first_bucket: int

    def at(self, run: int, second: int) -> ArmCounts:
        """Return the counts that the fleet would report."""
        timed = self.scoring[run, second]
        return ArmCounts(
            variant="",
            version="",
            requests=int(self.requests[run, second]),
            users=int(self.users[run, second]),
            scoring={
                int(key) + self.first_bucket: int(timed[key]) for key in np.flatnonzero(timed)
            },
            errors=int(self.bad["errors"][run, second]),
            fallbacks=int(self.bad["fallbacks"][run, second]),
            empty=int(self.bad["empty"][run, second]),
        )

    def last_second(self) -> SimulatedArm:
        """Return the counts of the last second alone, to compare with those of any second."""
        return replace(
            self,
            requests=self.requests[:, -1:],
            bad={field: counts[:, -1:] for field, counts in self.bad.items()},
            scoring=self.scoring[:, -1:],
        )


def bucket_shares(medians: Sequence[float]) -> tuple[int, list[Floats]]:
    """Return the first bucket, and for each median the share of scoring times in each bucket."""
    shape = np.exp(SPREAD * np.random.default_rng(0).standard_normal(100_000))
    histograms = [bucket_counts(median * shape) for median in medians]
    first = min(map(min, histograms))
    shares = [np.zeros(max(map(max, histograms)) - first + 1) for _ in medians]
    for share, histogram in zip(shares, histograms, strict=True):
        for bucket, count in histogram.items():
            share[bucket - first] = count / len(shape)
    return first, shares
