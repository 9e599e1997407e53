"""Following the fleet topic: each worker reads all heartbeats, starting a minute back.

An edge, without Faust: a consumer without a group, in its own thread. It passes the latest
heartbeat of each worker to the event loop, a few times a second at most, so neither a large fleet
nor garbage slows the loop. Whatever happens to Kafka or to the topic, it reconnects. Must not know
what heartbeats are used for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from msgspec import Struct
from msgspec.structs import replace

from registry.connection.reachability import metadata_of, unreachable
from registry.errors import RecordError, TransportError
from registry.guardrails.silent_workers import FORGET_SECONDS
from registry.kafka.topic_reader import BROKER_SECONDS, connected, messages, only_partition
from registry.kafka.topics import Topic
from registry.settings import Settings
from registry.wire.codec import decode
from registry.wire.heartbeats import Heartbeat
from streams.kafka.follower_threads import Complaints, follow_until_stopped
from streams.state.rollout_view import RolloutView

logger = logging.getLogger(__name__)

MAX_HEARTBEAT_BYTES: Final = 200_000
"""A heartbeat with full histograms stays below half of it."""

BATCH_RECORDS: Final = 500
PAUSE_SECONDS: Final = 0.1
"""Between two batches at the topic's end: so often at most is the event loop asked to take some."""

SILENT_SECONDS: Final = 10.0
"""Without a record for so long, although this worker sends one a second: connect anew. By itself,
librdkafka does not find a recreated topic, nor any broker when all that it knew are gone."""

READ_SECONDS: Final = 60.0
"""How long the heartbeats of an hour may take to read; a hundred workers' are 360,000."""


class HeartbeatFollower:
    """Follows the fleet topic; see the module.

    Parameters
    ----------
    settings, topic
        Where heartbeats are.
    hear
        Called on the event loop with the latest heartbeat of each worker of this environment.
    note_start
        Called on the event loop at each connection, with the time from which heartbeats are read.
    note_end
        Called on the event loop whenever there is nothing more to hear.
    count_refused
        Called in the thread with the code of each record that is not a heartbeat.
    """

    def __init__(
        self,
        settings: Settings,
        topic: Topic,
        hear: Callable[[list[Heartbeat]], None],
        note_start: Callable[[float], None],
        note_end: Callable[[], None],
        count_refused: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._hear = hear
        self._note_start = note_start
        self._note_end = note_end
        self._count_refused = count_refused
        self._stopping = threading.Event()
        self._heard_at: float | None = None
        self._complaints = Complaints()
        self._out_of_reach = False

    def start(self) -> None:
        """Begin to follow; the callbacks run on the event loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._thread = follow_until_stopped(
            "heartbeats", self._settings, {}, self._follow, self._warn_once, self._stopping
        )

    def stop(self) -> None:
        """End without waiting: the thread holds nothing that could be lost."""
        self._stopping.set()

    def _warn_once(self, error: Exception) -> None:
        if not self._out_of_reach:
            self._out_of_reach = True
            logger.warning("cannot read heartbeats, retrying: %s", error)

    def _follow(self, consumer: Consumer) -> None:
        since = (time.time() if self._heard_at is None else self._heard_at) - FORGET_SECONDS
        consumer.assign([position_at(self._settings, consumer, self._topic, since)])
        self._tell(lambda: self._note_start(since))
        heard_at = time.monotonic()
        while not self._stopping.is_set():
            batch = _batch(consumer)
            heartbeats = self._latest(batch)
            if heartbeats:
                heard_at = time.monotonic()
                self._tell(lambda found=heartbeats: self._hear(found))  # type: ignore[misc]
            if any(_is_end(message) for message in batch):
                if self._out_of_reach:
                    self._out_of_reach = False
                    logger.info("reading heartbeats again")
                self._tell(self._note_end)
                self._stopping.wait(PAUSE_SECONDS)
            elif time.monotonic() - heard_at > SILENT_SECONDS:
                raise TransportError(f"{self._topic.name} was silent for {SILENT_SECONDS:g} s")

    def _tell(self, call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: this worker ends
            self._loop.call_soon_threadsafe(call)

    def _latest(self, batch: Iterable[Message]) -> list[Heartbeat]:
        latest: dict[str, Heartbeat] = {}
        refused: list[RecordError] = []
        for message in batch:
            if message.error() is not None:
                continue
            try:
                heartbeat = heartbeat_of(message)
            except RecordError as error:
                refused.append(error)
                self._count_refused(error.code)
                continue
            self._heard_at = message.timestamp()[1] / 1000
            if heartbeat.environment == self._settings.environment:
                latest[heartbeat.instance] = heartbeat
        if refused and self._complaints.are_due():
            logger.warning("%d records are not heartbeats: %s", len(refused), refused[-1])
        return list(latest.values())


def heartbeat_of(message: Message) -> Heartbeat:
    """Return the heartbeat of a record, at the time of the broker: workers' clocks need not agree.

    Raises
    ------
    RecordError
        If it is none.
    """
    heartbeat = decode(Heartbeat, message.value(), MAX_HEARTBEAT_BYTES)
    stamped = message.timestamp()[1] / 1000
    return replace(heartbeat, at=stamped if heartbeat.heard_at is None else heartbeat.heard_at)


async def hear_earlier(settings: Settings, topic: Topic, view: RolloutView) -> None:
    """Have `view` hear what was sent before this worker listened, where that is evidence."""
    since = view.unheard_since(time.time())
    if since is None or math.isinf(view.heard_since):
        return
    heartbeats = await asyncio.to_thread(heartbeats_since, settings, topic, since)
    view.hear(heartbeats, time.time())
    view.heard_since = since


def heartbeats_since(settings: Settings, topic: Topic, since: float) -> list[Heartbeat]:
    """Return the last heartbeat of each worker of this environment, of those sent since then.

    Blocks, so it is called in a thread. What the topic no longer has is logged.

    Parameters
    ----------
    settings, topic
        Where heartbeats are.
    since
        In seconds since the epoch, by the broker's clock.

    Raises
    ------
    TransportError
        If Kafka does not answer in time.
    """
    latest: dict[str, Message] = {}
    with connected(settings) as consumer:
        start = position_at(settings, consumer, topic, since)
        _, low, end = only_partition(settings, consumer, topic)
        if start.offset < 0 or start.offset >= end:
            return []
        consumer.assign([start])
        for message in messages(consumer, READ_SECONDS, to_end=True):
            stamped = message.timestamp()[1] / 1000
            if message.offset() == low > 0:
                _warn_of_loss(topic, since, stamped)
            if stamped < since:  # the embedded broker begins at the topic's start
                continue
            with contextlib.suppress(RecordError):  # the follower has counted it
                sender = decode(_HeartbeatSender, message.value(), MAX_HEARTBEAT_BYTES)
                if sender.environment == settings.environment:
                    latest[sender.instance] = message
    found = []
    for message in latest.values():
        with contextlib.suppress(RecordError):
            found.append(heartbeat_of(message))
    return found


class _HeartbeatSender(Struct):
    """Who sent a heartbeat: all that is decoded of those that a later one replaces."""

    instance: str
    environment: str


def _warn_of_loss(topic: Topic, since: float, first_at: float) -> None:
    """Say that counts are gone, if they are: a fleet that ran all the time has carried them."""
    if first_at - since > FORGET_SECONDS:
        logger.warning(
            "%s begins %.0f s after the current rollout state: earlier counts of workers that are "
            "gone are lost, and a ramp is judged without them",
            topic.name,
            first_at - since,
        )


def position_at(
    settings: Settings, consumer: Consumer, topic: Topic, since: float
) -> TopicPartition:
    """Return where the records begin that came at `since`, in seconds since the epoch, or later.

    Raises
    ------
    TransportError
        If Kafka does not answer, or the topic is missing.
    """
    asked = TopicPartition(topic.name, 0, max(0, int(since * 1000)))
    try:
        metadata_of(consumer, settings, asked.topic, seconds=BROKER_SECONDS)  # or it is hidden
        found = consumer.offsets_for_times([asked], timeout=BROKER_SECONDS)[0]
    except KafkaException as error:
        raise unreachable(settings, error) from error
    if found.error is not None:
        raise TransportError(f"{topic.name}: {found.error}")
    return TopicPartition(topic.name, 0, found.offset)  # none is that young: the end


def _batch(consumer: Consumer) -> list[Message]:
    """Return what has come, after half a second at most.

    Raises
    ------
    KafkaException
        If the position is gone, the topic is missing, or the like.
    """
    first = consumer.poll(0.5)
    if first is None:
        return []
    batch = [first, *consumer.consume(BATCH_RECORDS, timeout=0)]
    for message in batch:
        error = message.error()
        if error is not None and not _is_end(message) and not error.retriable():
            raise KafkaException(error)
    return batch


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF
