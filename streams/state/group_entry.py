"""When a worker joins its group: not before it can answer, if there is a state and other workers
can.

A joining worker takes partitions from others; if it then has to load a version, or cannot, the
users of these partitions wait or get errors although healthy workers exist. So before it joins, a
worker

1. reads the rollout table's changelog to its end, with a plain consumer, which is fast; meanwhile
   its follower of the fleet topic learns which other workers there are, and that of the items topic
   what is withdrawn;
2. loads the primary version;
3. joins once that is in memory. Until then, it joins only if no other worker can answer either: the
  first start, or a start after all have stopped, must not wait for anybody.

`why_outside` decides, and is pure. `Entry` waits and retries: the worker's pages are up meanwhile,
and ``/readyz`` says why.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from registry.connection.reachability import unreachable
from registry.errors import TransportError
from registry.guardrails.live_workers import live
from registry.kafka.topic_reader import connected, only_partition
from registry.kafka.topics import Topic
from registry.settings import Settings
from registry.wire.heartbeats import Heartbeat
from registry.wire.rollout_state import RolloutState
from streams.state.rollout_table import RolloutTable
from streams.state.worker_node import Node
from streams.watch.notices import Reason

logger = logging.getLogger(__name__)

AHEAD_SECONDS: Final = 60.0
"""How long reading ahead may take; millions of small records are read in that time."""

AGAIN_SECONDS: Final = 2.0
"""Between two readings while this worker stays outside: the state may name another version."""

LOOK_SECONDS: Final = 0.02
"""Between two looks at whether the version is in memory."""

FLEET_SECONDS: Final = 10.0
"""How long to wait for the fleet topic's end, which an endless flood would keep away."""

BATCH_RECORDS: Final = 10_000
READ_SECONDS: Final = 0.05
"""Of one read; the last one waits for it."""


def why_outside(
    state: RolloutState | None,
    ready: Collection[str],
    failures: Mapping[str, str],
    others: Iterable[Heartbeat],
    now: float,
) -> str | None:
    """Return why a worker does not join its group yet; None if it joins.

    Parameters
    ----------
    state
        The newest rollout state.
    ready, failures
        Versions in this worker's memory, and why others could not be loaded.
    others
        Latest heartbeats of all other workers of the environment.
    now
        Seconds since the epoch.
    """
    if state is None or state.primary_version in ready:
        return None
    answering = [
        heartbeat.worker
        for heartbeat in live(others, now)
        if heartbeat.epoch is not None and heartbeat.ready
    ]
    if not answering:
        return None
    why = failures.get(state.primary_version, "being loaded")
    return (
        f"primary version {state.primary_version}: {why}; {', '.join(answering[:3])} can answer, "
        "so this worker takes no partitions yet, and retries automatically"
    )


class Entry:
    """Holds a worker back until it may join; see the module.

    Parameters
    ----------
    settings
        Where to read.
    node, table
        Learn what was read.
    reading_items
        Returns why it is not known yet what is withdrawn; None once it is, or was waited for.

    Attributes
    ----------
    outside
        Why this worker is not in its group yet; None once it joins.
    is_reading
        Whether a read blocks a thread.
    """

    def __init__(
        self,
        settings: Settings,
        node: Node,
        table: RolloutTable,
        reading_items: Callable[[], Reason | None],
    ) -> None:
        self._settings = settings
        self._reading_items = reading_items
        self._node = node
        self._table = table
        self._changelog = Topic(table.changelog, 1, "the rollout table's changelog")
        self.outside: str | None = "reading the rollout table before joining; try again shortly"
        self.is_reading = False

    async def wait(self) -> None:
        """Return when this worker is to join."""
        warned, began = "", time.monotonic()
        while self.outside is not None:
            try:
                records = await self._read()
            except TransportError as error:
                self.outside = f"{error}; retrying"
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                for key, value in records.items():
                    self._table.offer(key, value)
                await self._look_on(began)
            if self.outside is not None and self.outside != warned:
                warned = self.outside
                logger.warning("not in the group yet: %s", warned)

    async def _read(self) -> Mapping[bytes, bytes | None]:
        self.is_reading = True
        try:
            return await asyncio.to_thread(latest_by_key, self._settings, self._changelog)
        finally:
            self.is_reading = False

    async def _look_on(self, began: float) -> None:
        """Wait for the version that the state names, until it is time to read again."""
        node = self._node
        until = time.monotonic() + AGAIN_SECONDS
        while time.monotonic() < until:
            node.refresh()
            now = time.time()
            if node.view.knows_fleet(now) or time.monotonic() - began > FLEET_SECONDS:
                others = [
                    heartbeat for heartbeat in node.view.fleet if heartbeat.worker != node.worker
                ]
                ready, failures = node.residency.ready, node.residency.failures
                self.outside = why_outside(node.view.state, ready, failures, others, now)
            unread = self._reading_items()
            if self.outside is None and (unread is not None or node.residency.is_hiding):
                self.outside = unread.message if unread else "hiding what is withdrawn"
            if self.outside is None:
                return
            await asyncio.sleep(LOOK_SECONDS)


def latest_by_key(settings: Settings, topic: Topic) -> Mapping[bytes, bytes | None]:
    """Read a topic of one partition to its end; return each key's last value. Blocks.

    Raises
    ------
    TransportError
        If Kafka does not answer, or not in time.
    """
    try:
        with connected(settings) as consumer:
            return _read_to_end(settings, consumer, topic)
    except KafkaException as error:
        raise unreachable(settings, error) from error


def _read_to_end(
    settings: Settings, consumer: Consumer, topic: Topic
) -> Mapping[bytes, bytes | None]:
    partition, low, high = only_partition(settings, consumer, topic)
    consumer.assign([TopicPartition(topic.name, partition.partition, low)])
    latest: dict[bytes, bytes | None] = {}
    deadline = time.monotonic() + AHEAD_SECONDS
    while low < high and time.monotonic() < deadline:
        for message in consumer.consume(BATCH_RECORDS, READ_SECONDS):
            error = message.error()
            if error is None:
                latest[message.key() or b""] = message.value()
            elif error.code() == KafkaError._PARTITION_EOF:
                return latest
    if low < high:
        raise TransportError(
            f"{topic.name}: timed out after {AHEAD_SECONDS:g} s before the end of the topic"
        )
    return latest
