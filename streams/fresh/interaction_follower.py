"""Following the interactions: a consumer of its own, in a thread, without a group.

An edge. Of a partition that it begins, it reads the newest records first and then those before
(`streams.fresh.earlier_records`), so that what users did lately counts at once however long the log
is. It goes on showing what it has while earlier records are wanted. It shows what it has read after
every batch (`streams.fresh.fresh_reading`), and connects again whatever happens to Kafka. Must not
know users' requests or versions.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from registry.fresh.earlier_ranges import unread_of
from registry.fresh.event_columns import EventBatch
from registry.fresh.event_intake import take_in
from registry.fresh.event_log import EventLog
from registry.kafka.topic_reader import current_ends
from registry.kafka.topics import Topic
from registry.read_stall import ReadStall
from registry.settings import Settings
from streams.fresh.earlier_records import EarlierRecords
from streams.fresh.fresh_gaps import Gap, begin_at
from streams.fresh.fresh_reading import NOTHING_READ, Reading
from streams.fresh.partition_bounds import bounds_of, ends_heard
from streams.kafka.follower_threads import Complaints, follow_until_stopped, place_of

logger = logging.getLogger(__name__)

BATCH_RECORDS: Final = 2_000
"""Records taken at once. The client makes them without letting the interpreter go: 2,000 take 2 ms,
for which no answer is made. Half as many cost a tenth more."""

NEWEST_RECORDS: Final = 5_000
"""Of a partition that begins anew, so many are read first: 4 partitions take a tenth of a second,
in which answers wait. More of them would be read too late, fewer would leave out what users did a
minute ago."""

POLL_SECONDS: Final = 0.05
"""The client waits this long to fill a batch: what a user did is known so much later at most, and
so is that partitions have moved."""

HIGH_SECONDS: Final = 0.25
"""Between two looks at where the partitions end."""

IDLE_SECONDS: Final = 0.5

FOLLOWING: Final[dict[str, str | int]] = {
    "auto.offset.reset": "error",
    "fetch.wait.max.ms": 50,
    "fetch.queue.backoff.ms": 10,
    "queued.min.messages": 20_000,
    "queued.max.messages.kbytes": 16_384,
}
"""How the client reads: as a training does (`training.log.interaction_log`), but a fetch waits
longer at a partition's end, where this one always is. Records that retention took away are an
error, not a skip."""


class InteractionFollower:
    """Follows the interaction topic; see the module.

    Parameters
    ----------
    settings, topic
        Where the interactions are.
    note_records
        Called in the thread with the records of each batch, for whoever looks at their keys.
    note_unusable
        Called in the thread with how many records were no interactions, by reason.
    newest
        Records of a partition that are read first; 0: all are read in their order.

    Attributes
    ----------
    reading
        What has been read; replaced whole.
    trouble
        Why nothing is being read; None while all is well.
    """

    def __init__(
        self,
        settings: Settings,
        topic: Topic,
        note_records: Callable[[Sequence[Message]], None] = lambda _: None,
        note_unusable: Callable[[Counter[str]], None] = lambda _: None,
        newest: int = NEWEST_RECORDS,
    ) -> None:
        self._settings = settings
        self._topic = topic.name
        self._note_records = note_records
        self._note_unusable = note_unusable
        self._newest = newest
        self._wanted: Mapping[int, int] = {}
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._log = EventLog(settings.fresh_memory_bytes)
        self._made_again = False
        self._complaints = Complaints()
        self.reading: Reading = NOTHING_READ
        self.trouble: str | None = None
        self.records = 0

    def start(self) -> None:
        """Begin to follow what is wanted."""
        follow_until_stopped(
            "interactions",
            self._settings,
            FOLLOWING,
            self._follow,
            self._note_trouble,
            self._stopping,
        )

    def stop(self) -> None:
        """End without waiting: the thread holds nothing that could be lost."""
        self._stopping.set()
        self._changed.set()

    def follow(self, starts: Mapping[int, int]) -> None:
        """Follow these partitions from these offsets on, and no others."""
        self._wanted = starts
        self._changed.set()

    def note_made_again(self, topic: str) -> None:
        """Read a recreated topic from its beginning, if it is this one."""
        self._made_again |= topic == self._topic
        self._changed.set()

    @property
    def size_bytes(self) -> int:
        """What the events take."""
        return self._log.size_bytes

    @property
    def users(self) -> int:
        """Users of whom there are events."""
        return self._log.users

    @property
    def packed_users(self) -> int:
        """Of how many users no more is left than what they have seen."""
        return self._log.packed_users

    def _note_trouble(self, error: Exception) -> None:
        if self.trouble is None:
            logger.warning("%s is not followed, trying again: %s", self._topic, error)
        self.trouble = str(error) or repr(error)

    def _follow(self, consumer: Consumer) -> None:
        with EarlierRecords(self._settings, FOLLOWING, self._topic) as earlier:
            self._follow_with(consumer, earlier)

    def _follow_with(self, consumer: Consumer, earlier: EarlierRecords) -> None:
        followed: Mapping[int, int] | None = None
        looked_at, stall = 0.0, ReadStall(time.monotonic())
        while not self._stopping.is_set():
            wanted = self._wanted
            if self._made_again:
                self._made_again, followed = False, None
                self._log.begin({})
            if wanted is not followed:
                self._changed.clear()
                self._begin(consumer, wanted)
                followed = wanted
            if not wanted:
                earlier.rest()
                self._changed.wait(IDLE_SECONDS)
                continue
            batch = consumer.consume(BATCH_RECORDS, 0 if self._log.earlier else POLL_SECONDS)
            if lost := self._take(batch) | self._fill(earlier):
                self._log.drop(lost)
                self._begin(consumer, wanted)
            now = time.monotonic()
            if now - looked_at > HIGH_SECONDS:
                looked_at = now
                self._show(high=ends_heard(consumer, self._topic, wanted))
            if stall.is_due(now):
                ends = current_ends(consumer, self._topic, wanted)
                stall.require_progress(now, self._log.frozen.ends, ends)

    def _begin(self, consumer: Consumer, wanted: Mapping[int, int]) -> None:
        """Read what is wanted, from where it is read already or else from its start."""
        before = self.reading
        starts: dict[int, int] = {}
        newest: dict[int, int] = {}
        targets: dict[int, int] = {}
        gaps: dict[int, Gap] = {}
        for number, start in wanted.items():
            held = self._log.frozen.starts.get(number)
            if goes_on := self._log.goes_on(number, start):
                starts[number], targets[number] = start, before.targets.get(number, 0)
                if number in before.gaps:
                    gaps[number] = before.gaps[number]
            if goes_on and held is not None and held <= start:
                continue
            low, high = bounds_of(consumer, TopicPartition(self._topic, number, start))
            targets.setdefault(number, high)
            starts[number], gap = begin_at(start, low, high)
            if self._newest:
                newest[number] = max(starts[number], high - self._newest)
            if gap is not None:
                gaps[number] = gap
        ends = self._log.begin(starts, newest)
        consumer.assign([TopicPartition(self._topic, number, end) for number, end in ends.items()])
        self.reading = Reading(wanted, self._log.frozen, targets, gaps, targets)
        self._show()

    def _take(self, batch: Sequence[Message]) -> set[int]:
        """Take in a batch; return the partitions whose next offset is gone."""
        by_partition: defaultdict[int, list[Message]] = defaultdict(list)
        lost = set()
        for message in batch:
            error = message.error()
            if error is None:
                by_partition[_number(message)].append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                _, number, offset = place_of(message)
                self._take_partition(number, by_partition.pop(number, []))
                self._pass_over(number, offset)
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                lost.add(_number(message))
            elif not error.retriable():
                raise KafkaException(error)
        for number, messages in by_partition.items():
            self._take_partition(number, messages)
        if batch:
            self.trouble = None
            self._show()
        return lost

    def _fill(self, earlier: EarlierRecords) -> set[int]:
        """Read on what is before what is shown; return the partitions that have lost some of it."""
        if not self._log.earlier:
            earlier.rest()
            return set()
        found, lost = earlier.read(self._log.earlier, BATCH_RECORDS, POLL_SECONDS)
        for number, (messages, end) in found.items():
            self._log.fill(number, self._take_in(messages), end)
        self._show()
        if self._log.is_short:  # which users may go is known once all is read in its order
            self._newest = 0
            return set(self._log.frozen.starts)
        return lost

    def _take_partition(self, number: int, messages: Sequence[Message]) -> None:
        if not messages or number not in self._log.frozen.ends:
            return
        self._log.take(number, self._take_in(messages), end=place_of(messages[-1])[2] + 1)

    def _take_in(self, messages: Sequence[Message]) -> EventBatch:
        """Return the events of some records, and count what they are."""
        taken = take_in(
            [place_of(message)[2] for message in messages],
            [message.timestamp()[1] / 1000 for message in messages],
            [message.value() for message in messages],
        )
        self.records += len(messages)
        self._note_records(messages)
        if taken.unusable:
            self._complain(taken.unusable)
        return taken.events

    def _pass_over(self, number: int, end: int) -> None:
        if number in self._log.frozen.ends:  # else of before the last assignment
            self._log.pass_over(number, end)

    def _complain(self, unusable: Counter[str]) -> None:
        self._note_unusable(unusable)
        if self._complaints.are_due():
            logger.warning(
                "%s: %d records are no interactions: %s",
                self._topic, unusable.total(), ", ".join(sorted(unusable)),
            )  # fmt: skip

    def _show(self, high: Mapping[int, int] | None = None) -> None:
        shown = self.reading if high is None else self.reading._replace(high=high)
        self.reading = shown._replace(
            log=self._log.frozen, earlier=unread_of(self._log.earlier.values())
        )


def _number(message: Message) -> int:
    number = message.partition()
    assert number is not None  # only a message that was never sent has none
    return number
