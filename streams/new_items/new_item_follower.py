"""Following the new-items topic: a thread of its own, that sends this worker's shares as well.

An edge, without Faust: a consumer without a group, and the worker's producer. Each worker

1. reads all vectors, and shows those of the versions in memory to whoever answers;
2. sends its own shares where they have changed (`streams.new_items.own_shares`);
3. if it owns the control partition, reads all shares, and sends the vectors that they add up to
   (`streams.new_items.overlay_solving`).

After any failure, or when it becomes the owner, it begins again at the topic's beginning, and sends
all of its shares anew: that changes nothing for those who have them. It also does so every
`AGAIN_SECONDS`. Until it has read the topic to
its end it shows what it showed before. Must not know what a share is made of.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from registry.connection.reachability import metadata_of
from registry.errors import RecordError, TransportError
from registry.kafka.topic_reader import bounds, current_ends
from registry.kafka.topics import Topic
from registry.new_items.new_item_records import (
    SHARES,
    VECTORS,
    NewItemKey,
    NewItemRecord,
    encode_key,
    partition_of_kind,
)
from registry.read_stall import ReadStall
from registry.settings import Settings
from registry.versions.capabilities.new_item_capability import has_new_items
from registry.versions.model import Model
from registry.wire.codec import encode
from streams.delivery.outgoing import Outgoing
from streams.delivery.producer import Delivery, send_until_confirmed
from streams.fresh.freshness import Freshness
from streams.kafka.follower_threads import Complaints, follow_until_stopped, place_of
from streams.new_items.new_item_notices import (
    UNCONFIRMED_SECONDS,
    stalled_items,
    unconfirmed_records,
)
from streams.new_items.overlay_solving import KeyedRecord, OverlaySolving
from streams.new_items.own_shares import OwnShares
from streams.new_items.topic_reading import TopicReading
from streams.watch.notices import Notice

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 2.0
"""Between two looks at what is to be sent. A new item joins the lists after two, as a rule: one of
the worker that has its tenth user, one of the owner. Shorter: every click costs a record."""

SHARE_OF_TIME: Final = 0.05
"""Of a processor that looks may take: with millions of fresh events they come less often
than every `LOOK_SECONDS`."""

AGAIN_SECONDS: Final = 600.0
"""Until a worker sends all of its shares again. An owner takes back those of a version that the
rollout state does not name, and the workers never hear of it."""

BATCH_RECORDS: Final = 1_000
POLL_SECONDS: Final = 0.1
MISSING_SECONDS: Final = 4.0
ASK_SECONDS: Final = 5.0


class NewItemFollower:
    """Follows the new-items topic; see the module.

    Parameters
    ----------
    settings, topic
        Where new items are.
    delivery
        Sends this worker's records.
    freshness
        Sees what users did; learns which new items join the lists.
    models
        Returns the versions in memory.
    is_owner
        Tells whether this worker owns the control partition.
    kept
        Returns the versions that the rollout state names; empty while there is none.

    All callables are called in the thread.

    Attributes
    ----------
    trouble
        Why nothing is read or sent; None while all is well.
    """

    def __init__(
        self,
        settings: Settings,
        topic: Topic,
        delivery: Delivery,
        freshness: Freshness,
        models: Callable[[], Mapping[str, Model]],
        is_owner: Callable[[], bool],
        kept: Callable[[], Collection[str]],
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._delivery = delivery
        self._freshness = freshness
        self._models = models
        self._is_owner = is_owner
        self._kept = kept
        self._stopping = threading.Event()
        self._read_anew = threading.Event()
        self._complaints = Complaints()
        self.trouble: str | None = None

    def start(self) -> None:
        """Begin; records are sent from the event loop that runs now."""
        self._loop = asyncio.get_running_loop()
        config = {"auto.offset.reset": "error"}
        follow_until_stopped(
            "new-items", self._settings, config, self._follow, self._note_trouble, self._stopping
        )

    def stop(self) -> None:
        """End without waiting: what was not sent is summed up by whoever takes over."""
        self._stopping.set()

    def note_made_again(self, topic: str) -> None:
        """Read a recreated topic from its beginning, if it is this one."""
        if topic == self._topic.name:
            self._read_anew.set()

    def notice(self) -> Notice | None:
        """Return what an operator should act on."""
        return stalled_items(self._topic.name, self.trouble)

    def _note_trouble(self, error: Exception) -> None:
        if self.trouble is None and not self._stopping.is_set():
            logger.warning("new items are not followed, trying again: %s", error)
        self.trouble = str(error) or repr(error)

    def _follow(self, consumer: Consumer) -> None:
        """Follow until this worker becomes the owner, or is it no more."""
        if (
            self._topic.name
            not in metadata_of(consumer, self._settings, seconds=ASK_SECONDS).topics
        ):
            missing = "the topic was not found; run `recstream topics create`"
            self._note_trouble(TransportError(missing))
            self._stopping.wait(MISSING_SECONDS)
            return
        self._read_anew.clear()
        owns = self._is_owner()
        reading = TopicReading(OverlaySolving(self._settings.new_item_least) if owns else None)
        wanted = {VECTORS, SHARES} if owns else {VECTORS}
        starts = {
            place.partition: low
            for place, low, _ in bounds(self._settings, consumer, self._topic)
            if place.partition in wanted
        }
        consumer.assign([TopicPartition(self._topic.name, *start) for start in starts.items()])
        unread, at = set(starts), dict(starts)
        own, look_at, stall = OwnShares(), 0.0, ReadStall(time.monotonic())
        again_at = time.monotonic() + AGAIN_SECONDS
        while not self._stopping.is_set() and not self._read_anew.is_set():
            if self._is_owner() != owns:
                return
            for message in consumer.consume(BATCH_RECORDS, POLL_SECONDS):
                self._take(message, reading, unread, at)
            now = time.monotonic()
            self._require_fetching(consumer, stall, now, at)
            if unread:
                continue
            models = self._models()
            self._freshness.overlays = reading.overlays(models)
            if now >= again_at:
                own.send_again()
                again_at = now + AGAIN_SECONDS
            if now >= look_at:
                used = time.thread_time()
                self._send([*self._shares(own, models), *self._vectors(reading, models)])
                self.trouble = None  # not before: a topic that may only be read is trouble, too
                used = time.thread_time() - used
                look_at = time.monotonic() + max(LOOK_SECONDS, used / SHARE_OF_TIME)

    def _require_fetching(
        self, consumer: Consumer, stall: ReadStall, now: float, at: Mapping[int, int]
    ) -> None:
        if stall.is_due(now):
            stall.require_progress(now, at, current_ends(consumer, self._topic.name, at))

    def _take(
        self, message: Message, reading: TopicReading, unread: set[int], at: dict[int, int]
    ) -> None:
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            if not error.retriable():
                raise KafkaException(error)
            return
        _, number, offset = place_of(message)
        if error is not None:
            at[number] = offset
            unread.discard(number)
            return
        at[number] = offset + 1
        try:
            reading.take(message.key(), message.value(), offset)
        except RecordError as why:
            if self._complaints.are_due():
                logger.warning("%s: a record is ignored: %s", self._topic.name, why)

    def _shares(self, own: OwnShares, models: Mapping[str, Model]) -> list[KeyedRecord]:
        sight = self._freshness.sight()
        if sight is None:
            return []
        versions = [version for version, model in models.items() if has_new_items(model)]
        places, lost = (
            [(version, number) for version in versions for number in partitions(sight, version)]
            for partitions in (self._freshness.own_partitions, self._freshness.lost_partitions)
        )
        return [KeyedRecord.of(record) for record in own.due(sight, models, places, lost)]

    def _vectors(self, reading: TopicReading, models: Mapping[str, Model]) -> list[KeyedRecord]:
        kept = self._kept()
        if reading.solving is None or not kept:
            return []
        return reading.solving.due(models, kept, reading.placed)

    def _send(self, records: Sequence[KeyedRecord]) -> None:
        """Send, and wait until Kafka has confirmed it."""
        if not records:
            return
        outgoing = [self._outgoing(*keyed) for keyed in records]
        sending = asyncio.run_coroutine_threadsafe(
            send_until_confirmed(self._delivery, outgoing), self._loop
        )
        try:
            sending.result(UNCONFIRMED_SECONDS)
        except TimeoutError as error:
            sending.cancel()
            raise unconfirmed_records(len(outgoing), UNCONFIRMED_SECONDS) from error

    def _outgoing(self, key: NewItemKey, record: NewItemRecord | None) -> Outgoing:
        return Outgoing(
            self._topic.name,
            encode_key(key),
            None if record is None else encode(record),
            partition=partition_of_kind(key.kind),
        )
