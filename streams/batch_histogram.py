"""A Prometheus histogram by model version that takes whole batches.

Observing each record alone would cost as much as routing. Must not know what is observed.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

LATENCY_BUCKETS: Final = tuple(
    step * scale for scale in (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0) for step in (1, 2, 3, 5, 7)
)
"""Upper bounds in seconds, from 100 µs; five to a decade, so that a quantile is within 30 %."""

FEW: Final = 16
"""Observations that are counted one by one: NumPy takes as long for one as for hundreds."""


class BatchHistogram(Collector):
    """A Prometheus histogram by model version that takes whole batches.

    ``name`` and ``help_text`` are as for any metric; it is collected in ``registry``.
    """

    def __init__(self, name: str, help_text: str, registry: CollectorRegistry) -> None:
        self._name = name
        self._help = help_text
        self._lock = threading.Lock()
        self._counts: dict[str, npt.NDArray[np.int64]] = {}
        self._sums: dict[str, float] = {}
        registry.register(self)

    def observe(self, version: str, seconds: Sequence[float] | npt.NDArray[np.float64]) -> None:
        """Count observations, `seconds` of shape (n,), for `version`."""
        buckets = np.zeros(len(LATENCY_BUCKETS) + 1, np.int64)
        if len(seconds) <= FEW:
            total = sum(seconds)
            for each in seconds:
                buckets[bisect_left(LATENCY_BUCKETS, each)] += 1
        else:
            total = np.sum(seconds)
            buckets += np.bincount(
                np.searchsorted(LATENCY_BUCKETS, seconds), minlength=len(buckets)
            )
        with self._lock:
            self._counts[version] = self._counts.get(version, 0) + buckets
            self._sums[version] = self._sums.get(version, 0.0) + float(total)

    def versions(self) -> tuple[str, ...]:
        """Return the versions that were observed."""
        with self._lock:
            return tuple(self._counts)

    def remove(self, version: str) -> None:
        """Forget `version`, if it was observed at all."""
        with self._lock:
            self._counts.pop(version, None)
            self._sums.pop(version, None)

    def quantile(self, version: str, share: float) -> float | None:
        """Return the upper bound, in seconds, of the bucket that holds the `share` quantile.

        None without observations; infinity if it lies above the largest bound.
        """
        with self._lock:
            counts = self._counts.get(version)
        if counts is None or not (total := int(counts.sum())):
            return None
        index = int(np.searchsorted(np.cumsum(counts), share * total))
        return LATENCY_BUCKETS[index] if index < len(LATENCY_BUCKETS) else float("inf")

    def collect(self) -> Iterator[Metric]:
        """Yield the metric, as prometheus_client asks for it."""
        family = HistogramMetricFamily(self._name, self._help, labels=["model_version"])
        bounds = [*(f"{bound:g}" for bound in LATENCY_BUCKETS), "+Inf"]
        with self._lock:
            for version, counts in self._counts.items():
                cumulative = [float(count) for count in np.cumsum(counts)]
                family.add_metric(
                    [version], list(zip(bounds, cumulative, strict=True)), self._sums[version]
                )
        yield family
