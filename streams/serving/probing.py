"""Probing: how long each version takes to score one request, measured so that arms are comparable.

The times of the answers themselves are not comparable: the arms' groups in a batch differ in size
with their percentages, and the arm that is scored first pays for the cold caches of all. So, after
the answers of a batch are sent, some requests of each arm are scored again, one by one; the first
one is a warm-up. Runs where the batch was answered. Must not know who judges the times.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from registry.guardrails.histogram import bucket_counts
from registry.versions.model import Model
from registry.wire.field_types import Variant
from registry.wire.requests import Request
from streams.serving.batch_results import Batch

LEAST_PAUSE_SECONDS: Final = 0.02
"""Between two probes of an arm: enough, with a few requests each, for a quantile in seconds."""

PAUSE_FACTOR: Final = 40
"""Times the last probe's own duration: probing both arms takes at most a twentieth of one core,
however large the model."""


class Prober:
    """Times the arms' versions now and then.

    Parameters
    ----------
    clock
        Seconds, monotonic, of high resolution.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._measuring = threading.Lock()
        self._next_at: dict[Variant, float] = {}

    def measure(self, batch: Batch, models: Mapping[str, Model]) -> None:
        """Note scoring times for each arm of `batch` that has samples, where a probe is due.

        Parameters
        ----------
        batch
            Answered; its ``samples`` name the requests.
        models
            By version.
        """
        if not batch.samples or not self._measuring.acquire(blocking=False):
            return  # nothing to compare, or another thread is at it
        try:
            for arm, requests in batch.samples.items():
                started = self._clock()
                if started < self._next_at.get(arm, started):
                    continue  # the arm of few users is probed at each chance, the other one is not
                model = models[batch.arms[arm].version]
                batch.scoring[arm] = bucket_counts(np.array(self._time_each(requests, model)))
                ended = self._clock()
                pause = max(LEAST_PAUSE_SECONDS, PAUSE_FACTOR * (ended - started))
                self._next_at[arm] = ended + pause
        finally:
            self._measuring.release()

    def _time_each(self, requests: Sequence[Request], model: Model) -> list[float]:
        seconds: list[float] = []
        try:
            model.recommend(requests[:1])
            for request in requests:
                started = self._clock()
                model.recommend([request])
                seconds.append(self._clock() - started)
        except Exception:  # what cannot be scored is counted where it is answered
            return seconds
        return seconds
