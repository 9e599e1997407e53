"""Exposures: what the users of each arm got from this worker, under the state that it acts on.

Counts of answers that Kafka has confirmed, for heartbeats and guardrails. They start again at 0
with each epoch: answers under an older state say nothing about the current one. Must not know who
judges them.
"""

from __future__ import annotations

from msgspec.structs import replace

from registry.guardrails.distinct_users import DistinctUsers
from registry.guardrails.histogram import bucket_counts
from registry.rollout.assignment import arms_of
from registry.wire.counts import ArmCounts, Histogram, sum_histograms
from registry.wire.rollout_state import RolloutState
from streams.serving.batch_results import Batch
from streams.serving.deadline_and_latency import known_latencies


class Exposures:
    """The counts of one worker under the newest state that a batch was answered by.

    ``answered`` is the number of all answers since the worker's start.
    """

    def __init__(self) -> None:
        self._epoch = -1
        self._arms: dict[str, ArmCounts] = {}
        self._users = DistinctUsers()
        self.answered = 0

    def count(self, batch: Batch, now_ms: float) -> None:
        """Count a confirmed batch, `now_ms` being the wall clock; one of an older state is not."""
        self.answered += len(batch.answers)
        if batch.epoch is None or batch.epoch < self._epoch:
            return
        if batch.epoch > self._epoch:
            self._epoch, self._arms, self._users = batch.epoch, {}, DistinctUsers()
        self._users.note(batch.users)
        latencies: dict[str, Histogram] = {}
        for _, arm, sent_ms in batch.sent:
            if arm is None:
                continue
            latency = bucket_counts(known_latencies(sent_ms, now_ms))
            known = latencies.get(arm)
            latencies[arm] = latency if known is None else sum_histograms((known, latency))
        for variant, counts in batch.arms.items():
            latency, scoring = latencies.get(variant, {}), batch.scoring.get(variant, {})
            self._add(replace(counts, latency=latency, scoring=scoring))

    def arms(self, acting: RolloutState | None) -> tuple[ArmCounts, ...]:
        """Return the counts under `acting`; nothing if no answer was given under it yet."""
        if acting is None or acting.epoch != self._epoch:
            return ()
        return tuple(
            replace(counts, users=self._users.count(variant))
            for variant in arms_of(acting).values()
            if (counts := self._arms.get(variant)) is not None
        )

    def _add(self, counts: ArmCounts) -> None:
        known = self._arms.get(counts.variant)
        self._arms[counts.variant] = counts if known is None else known.add(counts)
