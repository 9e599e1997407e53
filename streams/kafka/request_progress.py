"""Progress through the request topic: assigned partitions, lag, in flight."""

from __future__ import annotations

from collections.abc import Mapping

import faust

from streams.kafka.slices import SliceConsumer


class RequestProgress:
    """Asks the consumer of `app`, once there is one."""

    def __init__(self, app: faust.App, request_topic: str) -> None:
        self._app = app
        self._topic = request_topic

    def partitions(self) -> int | None:
        """Return how many request partitions are assigned; None before there is a consumer."""
        consumer = self._app.consumer
        if not isinstance(consumer, SliceConsumer) or not consumer.started:
            return None
        return len(consumer.progress(self._topic))

    def served(self) -> frozenset[int]:
        """Return the numbers of the request partitions that are assigned."""
        consumer = self._app.consumer
        if not isinstance(consumer, SliceConsumer) or not consumer.started:
            return frozenset()
        return consumer.assigned(self._topic)

    def lags(self) -> Mapping[int, int]:
        """Return the records that are not answered yet, by assigned partition."""
        consumer = self._app.consumer
        return consumer.lags(self._topic) if isinstance(consumer, SliceConsumer) else {}

    def requests_in_flight(self) -> int:
        """Return how many requests are read and not yet acknowledged."""
        consumer = self._app.consumer
        return consumer.unacknowledged_records() if isinstance(consumer, SliceConsumer) else 0
