"""Liveness: whether only a restart would help this worker."""

from __future__ import annotations

import time
from typing import Final

import faust

from streams.watch.kafka_health import KafkaHealth

REBALANCE_SECONDS: Final = 180.0
"""A rebalance that takes longer than this is stuck, and only a restart helps."""


class LivenessCheck:
    """Remembers since when the group has been rebalancing."""

    def __init__(self, app: faust.App, kafka: KafkaHealth) -> None:
        self._app = app
        self._kafka = kafka
        self._rebalancing_since: float | None = None

    def is_alive(self) -> bool:
        """Tell whether a restart would not help: no rebalance is stuck, Kafka answers or may yet.

        A rebalance cannot end while Kafka is away, so its time counts from Kafka's return.
        """
        now = time.monotonic()
        if not self._app.rebalancing or self._kafka.reason() is not None:
            self._rebalancing_since = None
        elif self._rebalancing_since is None:
            self._rebalancing_since = now
        since = self._rebalancing_since
        is_stuck = since is not None and now - since > REBALANCE_SECONDS
        return not is_stuck and not self._kafka.is_lost(now)
