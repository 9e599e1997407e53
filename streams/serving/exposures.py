"""Exposures: what the users of each arm got from this worker, under the state that it acts on.

Counts of answers that Kafka has confirmed, for heartbeats and guardrails. Begins anew with each
epoch: answers from under an older state say nothing of the present one. Must not know who judges.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from registry.guardrails.histogram import bucket_counts
from registry.ids import UserId
from registry.rollout.assignment import arms_of
from registry.wire.counts import ArmCounts, Histogram, added
from registry.wire.rollout_state import RolloutState
from streams.serving.batch import Batch, Tally
from streams.serving.durations import known_latencies

USERS_COUNTED: Final = 100_000
"""Different users that one worker counts under one state, in all arms; some 10 MB. The split of
the first hundred thousand tells as much as that of all."""


@dataclass(slots=True)
class _Arm:
    requests: int = 0
    errors: int = 0
    fallbacks: int = 0
    empty: int = 0
    users: set[UserId] = field(default_factory=set)
    scoring: Histogram = field(default_factory=dict)
    latency: Histogram = field(default_factory=dict)


class Exposures:
    """The counts of one worker under the newest state that a batch was answered by.

    ``answered`` is the number of all answers since the worker's start.
    """

    def __init__(self) -> None:
        self._epoch = -1
        self._arms: defaultdict[str, _Arm] = defaultdict(_Arm)
        self.answered = 0

    def count(self, batch: Batch, now_ms: float) -> None:
        """Count a confirmed batch, `now_ms` being the wall clock; one of an older state is not."""
        self.answered += len(batch.answers)
        if batch.epoch is None or batch.epoch < self._epoch:
            return
        if batch.epoch > self._epoch:
            self._epoch = batch.epoch
            self._arms = defaultdict(_Arm)
        has_room = sum(len(arm.users) for arm in self._arms.values()) < USERS_COUNTED
        for variant, tally in batch.arms.items():
            self._count_arm(self._arms[variant], tally)
            if has_room:  # for all arms of the batch or for none: the split must stay theirs
                self._arms[variant].users |= tally.users
        for _, name, sent_ms in batch.sent:
            if name is not None:
                arm = self._arms[name]
                counts = bucket_counts(known_latencies(sent_ms, now_ms))
                arm.latency = added((arm.latency, counts))

    def arms(self, acting: RolloutState | None) -> tuple[ArmCounts, ...]:
        """Return the counts under `acting`; nothing if no answer was given under it yet."""
        if acting is None or acting.epoch != self._epoch:
            return ()
        return tuple(
            ArmCounts(
                variant,
                version,
                requests=arm.requests,
                errors=arm.errors,
                fallbacks=arm.fallbacks,
                empty=arm.empty,
                users=len(arm.users),
                scoring=arm.scoring,
                latency=arm.latency,
            )
            for version, variant in arms_of(acting).items()
            if (arm := self._arms.get(variant)) is not None
        )

    def _count_arm(self, arm: _Arm, tally: Tally) -> None:
        arm.requests += tally.requests
        arm.errors += tally.errors
        arm.fallbacks += tally.fallbacks
        arm.empty += tally.empty
        if tally.scoring:
            arm.scoring = added((arm.scoring, bucket_counts(np.array(tally.scoring))))
