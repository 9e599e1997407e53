"""The fleet agent: sends this worker's heartbeat, and on the owner merges those of all.

An edge. A heartbeat goes to the fleet topic; the worker that owns that topic's only partition, and
with it the control partition, writes the latest of each worker to the rollout table, whose
changelog brings it to every worker's view. Must not know what heartbeats are used for.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

import faust
from faust.types import StreamT
from msgspec.structs import replace

from registry.errors import RecordError, RefusedRecord, TransportError
from registry.fleet import FORGET_SECONDS, Heartbeat
from registry.records import decode, encode
from registry.topics import Topics
from streams.delivery import Delivery, Outgoing, Refusal
from streams.exposures import Exposures
from streams.node import Node
from streams.shadow import Shadow
from streams.table import RolloutTable

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 1.0
"""Between two heartbeats. A guardrail can fail no sooner than the second that the evidence takes to
come here; more often would only write more."""

MAX_HEARTBEAT_BYTES: Final = 200_000
"""A heartbeat with full histograms stays below half of it, and it must fit into the changelog."""


class FleetAgent:
    """Sends and merges heartbeats; see the module. Set `url` once the pages listen.

    ``requests_per_second`` is what this worker answered between its last two heartbeats.
    """

    def __init__(
        self,
        topics: Topics,
        node: Node,
        table: RolloutTable,
        delivery: Delivery,
        exposures: Exposures,
        shadow: Shadow,
    ) -> None:
        self._topics = topics
        self._node = node
        self._table = table
        self._delivery = delivery
        self._exposures = exposures
        self._shadow = shadow
        self._instance = f"{node.worker}@{node.started_at.isoformat(timespec='milliseconds')}"
        self._answered = 0
        self._beat_at: float | None = None
        self.requests_per_second = 0.0
        self.url = ""

    def agent(self, app: faust.App, channel: Any) -> None:
        """Register the fleet agent."""

        @app.agent(channel, name="merge-heartbeats")
        async def merge_heartbeats(stream: StreamT[Any]) -> None:
            async for event in stream.events():
                try:
                    self._merge(event.value, event.message.timestamp, time.time())
                except Exception:  # an agent that dies merges no further heartbeat
                    logger.exception("fleet record at offset %s", event.message.offset)

    def _merge(self, value: bytes | None, stamped: float, now: float) -> None:
        """Take a heartbeat that the broker has stamped: workers' clocks need not agree."""
        try:
            heartbeat = decode(Heartbeat, value, MAX_HEARTBEAT_BYTES)
        except RecordError as error:
            self._node.metrics.dead_letters.labels(self._topics.fleet.name, error.code).inc()
            logger.warning("a heartbeat is left out: %s", error)
            return
        ours = heartbeat.environment == self._node.settings.environment
        if ours and now - stamped <= FORGET_SECONDS:
            self._table.write_heartbeat(replace(heartbeat, at=stamped), now)

    async def beat(self, reasons: tuple[str, ...], lag: int, *, stopping: bool = False) -> None:
        """Send this worker's heartbeat.

        Parameters
        ----------
        reasons
            Codes of why it is not ready.
        lag
            Request records that wait on its partitions.
        stopping
            Whether it is the last one.
        """
        node, acting = self._node, self._node.acting
        self._measure()
        heartbeat = Heartbeat(
            worker=node.worker,
            instance=self._instance,
            environment=node.settings.environment,
            at=time.time(),
            epoch=acting.epoch if acting else None,
            ready=tuple(sorted(node.residency.ready)),
            failures=dict(node.residency.failures),
            lag=lag,
            requests_per_second=self.requests_per_second,
            owns_control=self._table.is_owner,
            reasons=reasons,
            url=self.url,
            arms=self._exposures.arms(acting),
            shadow=self._shadow.counts_at(acting.epoch) if acting else None,
            stopping=stopping,
        )
        topic, key = self._topics.fleet.name, node.worker.encode()

        def bare(_: Refusal) -> Outgoing:
            return Outgoing(
                topic, key, encode(replace(heartbeat, arms=(), shadow=None, failures={}))
            )

        try:
            await self._delivery.send([Outgoing(topic, key, encode(heartbeat), instead=bare)])
        except RefusedRecord:
            pass  # counted and reported
        except TransportError as error:  # the next one says the same and more
            logger.warning("a heartbeat was not sent: %s", error)

    def _measure(self) -> None:
        now, answered = time.monotonic(), self._exposures.answered
        if self._beat_at is not None:
            seconds = max(now - self._beat_at, 1e-3)
            self.requests_per_second = (answered - self._answered) / seconds
        self._answered, self._beat_at = answered, now
