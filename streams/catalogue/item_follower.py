"""Following the items topic: each worker reads all of it by itself, from its beginning.

An edge, without Faust: a consumer that joins no group, in a thread of its own. It decodes there,
and hands what no answer may show to the event loop, a few times a second at most. Whatever happens
to Kafka or to the topic, it connects anew and continues where it was; on another topic of the same
name it begins again, and what was withdrawn stays so until that is read. Must not know what
becomes of a withdrawal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from registry.catalogue.availability import NOTHING_WITHDRAWN, Availability, Withdrawals
from registry.catalogue.item_changes import change_of
from registry.connection.reachability import DENIALS, metadata_of
from registry.error_codes import NoticeCode, ReadinessCode
from registry.errors import AccessRefused, RecordError
from registry.kafka.topic_reader import BROKER_SECONDS, only_partition
from registry.kafka.topics import Topic
from registry.read_stall import ReadStall
from registry.settings import Settings
from streams.kafka.follower_threads import Complaints, follow_until_stopped
from streams.watch.notices import Notice, Reason

logger = logging.getLogger(__name__)

BATCH_RECORDS: Final = 5_000
BATCH_SECONDS: Final = 0.1
"""Of one read: so late at most is a withdrawal, and so often the time is checked."""

CATCH_UP_SECONDS: Final = 30.0
"""How long a worker waits, not ready, until it has read the topic; millions of items are read in
that time. Longer: without Kafka's answer, nobody would be answered. Then it serves, and says so."""

MISSING_SECONDS: Final = 4.0
"""Between two looks for a topic that is not there: each asks for all topics of the cluster."""

QUIET_SECONDS: Final = 10.0
"""Without a record for so long, the broker is asked for the topic's end: by itself, librdkafka
finds no broker when all that it knew are gone. That the topic was recreated is noticed by others
(`read_anew`)."""


class ItemFollower:
    """Follows the items topic; see the module.

    Parameters
    ----------
    settings, topic
        Where items are.
    hear
        Called on the event loop with what no answer may show, whenever that changes.
    count_refused
        Called in the thread with the code of each record that is not an item.

    Attributes
    ----------
    topic
        Its name.
    known, withdrawn, offset, lag
        Items of which there is a record, items that no answer may show, the offset of the next
        record, and the records that have not been read.
    """

    def __init__(
        self,
        settings: Settings,
        topic: Topic,
        hear: Callable[[Withdrawals], None],
        count_refused: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._topic = topic
        self.topic = topic.name
        self._hear = hear
        self._count_refused = count_refused
        self._stopping = threading.Event()
        self._read_anew = threading.Event()
        self._availability = Availability()
        self._heard = NOTHING_WITHDRAWN
        self._trouble: Notice | None = None
        self._complaints = Complaints()
        self._started_at = time.monotonic()
        self._has_caught_up = False
        self._end_seen = 0
        self.known = self.withdrawn = self.offset = self.lag = 0

    def start(self) -> None:
        """Begin to follow; the callback runs on the event loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._started_at = time.monotonic()
        config = {"auto.offset.reset": "error"}
        follow_until_stopped(
            "items", self._settings, config, self._follow, self._note_trouble, self._stopping
        )

    def stop(self) -> None:
        """End without waiting: the thread holds nothing that could be lost."""
        self._stopping.set()

    def read_anew(self) -> None:
        """Begin again: the topic is another one than before."""
        self._read_anew.set()

    def reason(self) -> Reason | None:
        """Return why this worker should not answer yet; None if it may."""
        if self._has_caught_up or self._is_late():
            return None
        return Reason(
            ReadinessCode.READING_ITEMS,
            f"reading {self._topic.name}, which says what is withdrawn; try again shortly",
        )

    def notice(self) -> Notice | None:
        """Return what an operator should act on."""
        if self._trouble is not None and (self._has_caught_up or self._is_late()):
            return self._trouble
        if self._has_caught_up or not self._is_late():
            return None
        return Notice(
            NoticeCode.ITEMS_NOT_READ,
            f"{self._topic.name}: {self.lag:,} records are not read after {CATCH_UP_SECONDS:g} s; "
            "items that they withdraw may be recommended until then",
        )

    def _is_late(self) -> bool:
        return time.monotonic() - self._started_at > CATCH_UP_SECONDS

    def _note_trouble(self, error: Exception) -> None:
        self._has_caught_up |= _is_denied(error)  # waiting does not help
        self._trouble = Notice(
            NoticeCode.ITEMS_NOT_READ,
            f"{self._topic.name}: {error}; retrying. What was withdrawn before stays so",
        )

    def _follow(self, consumer: Consumer) -> None:
        if not self._exists(consumer):
            self._stopping.wait(MISSING_SECONDS)
            return
        partition, low, high = only_partition(self._settings, consumer, self._topic)
        anew = self._read_anew.is_set() or not low <= self._availability.offset <= high
        self._read_anew.clear()
        if anew:
            self._availability = Availability()
        position = max(low, self._availability.offset)
        consumer.assign([TopicPartition(partition.topic, partition.partition, position)])
        self._trouble, is_at_end, heard_at = None, False, time.monotonic()
        self._end_seen = 0
        stall = ReadStall(heard_at)
        while not self._stopping.is_set() and not self._read_anew.is_set():
            batch = consumer.consume(BATCH_RECORDS, BATCH_SECONDS)
            is_at_end |= self._take(batch)
            self._availability.pass_time(time.time())
            if is_at_end or self._is_late():
                self._tell()
            if is_at_end and not self._has_caught_up:
                self._call(self._note_caught_up)  # after what was heard until then
            if batch:
                heard_at = time.monotonic()
                high = max(high, consumer.get_watermark_offsets(partition, cached=True)[1])
            elif time.monotonic() - heard_at > QUIET_SECONDS:
                heard_at, high = time.monotonic(), self._end_of(consumer, partition)
                stall.require_progress(heard_at, {0: self._position}, {0: high})
            self.lag = max(0, high - self._position)

    def _exists(self, consumer: Consumer) -> bool:
        """Tell whether the topic is there; asked for by name, an embedded broker would make it."""
        shown = metadata_of(consumer, self._settings, seconds=BROKER_SECONDS).topics
        if self._topic.name in shown:
            return True
        self._has_caught_up = True  # there is nothing to read
        self._trouble = Notice(
            NoticeCode.ITEMS_TOPIC_MISSING,
            f"topic {self._topic.name} was not found, or may not be read: no item can be "
            "withdrawn, and no title is read from it; run `recstream topics create`, and on a "
            "secured Kafka allow this worker to read it (`recstream topics acls`)",
        )
        return False

    @property
    def _position(self) -> int:
        """The offset up to which the topic was read: of a record, or of its end behind a marker."""
        return max(self._availability.offset, self._end_seen)

    def _end_of(self, consumer: Consumer, partition: TopicPartition) -> int:
        """Return the topic's end, as its broker says it now; an embedded one names one before.

        Raises
        ------
        KafkaException
            If it does not answer.
        """
        _, end = consumer.get_watermark_offsets(partition, timeout=BROKER_SECONDS)
        return max(int(end), self._availability.offset)

    def _take(self, batch: Sequence[Message]) -> bool:
        """Note what records say; tell whether the topic's end was among them."""
        at_end, now = False, time.time()
        refused: list[RecordError] = []
        for message in batch:
            error = message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF and not error.retriable():
                    raise KafkaException(error)
                if error.code() == KafkaError._PARTITION_EOF:
                    at_end, self._end_seen = True, message.offset() or 0
                continue
            offset = message.offset() or 0
            try:
                change = change_of(message.key(), message.value())
            except RecordError as why:
                self._availability.skip(offset)
                self._count_refused(why.code)
                refused.append(why)
            else:
                self._availability.note(offset, change, now)
        if refused and self._complaints.are_due():
            logger.warning("%d records are no items: %s", len(refused), refused[-1])
        return at_end

    def _tell(self) -> None:
        """Hand over what no answer may show, if that has changed."""
        availability = self._availability
        withdrawals = availability.withdrawals
        self.known, self.offset = availability.known, availability.offset
        self.withdrawn = len(withdrawals.item_ids)
        if withdrawals is not self._heard:
            self._heard = withdrawals
            self._call(lambda: self._hear(withdrawals))

    def _note_caught_up(self) -> None:
        self._has_caught_up = True

    def _call(self, call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: this worker ends
            self._loop.call_soon_threadsafe(call)


def _is_denied(error: Exception) -> bool:
    """Tell whether this worker may not read the topic."""
    if isinstance(error, KafkaException):
        return error.args[0].code() in DENIALS
    return isinstance(error, AccessRefused)
