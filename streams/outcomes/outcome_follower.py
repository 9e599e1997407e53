"""Following answers, interactions and outcomes of this worker's partitions: a thread of its own.

An edge, without Faust: a consumer without a group, and the worker's producer. For each partition
of an experiment:

1. *catch up*: read the outcome topic from the experiment's beginning to its end: who is counted;
2. *begin*: read answers and interactions from the beginning, or from a while before the first
   exposure of the user who closed last: everybody who closed before is counted;
3. *join* (`registry.outcomes.partition_join`), send what is found, and go on when Kafka has
   confirmed it;
4. *count* what comes back on the outcome topic.

After any failure, and when reading stalls, all joins are dropped and begin again at 1. So a worker
may send a record again, and readers take the first. Must not know statistics.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from registry.error_codes import NoticeCode
from registry.errors import TransportError
from registry.kafka.topic_reader import BROKER_SECONDS, current_ends, messages
from registry.kafka.topics import Topics
from registry.outcomes.partition_join import Experiment, JoinProgress, PartitionJoin, progress_of
from registry.partition_offsets import ends_now, offsets_at
from registry.read_stall import ReadStall
from registry.settings import Settings
from registry.wire.codec import encode
from registry.wire.outcome_records import OutcomeRecord
from registry.wire.rollout_state import RolloutState
from streams.delivery.outgoing import Outgoing
from streams.delivery.producer import Delivery, send_until_confirmed
from streams.kafka.follower_threads import follow_until_stopped, place_of
from streams.outcomes.compared_arms import experiment_of
from streams.outcomes.outcome_times import BEFORE_MS, SLACK_MS, times_of
from streams.watch.notices import Notice

logger = logging.getLogger(__name__)

BATCH_RECORDS: Final = 1_000
POLL_SECONDS: Final = 0.1
IDLE_SECONDS: Final = 0.25
LOOK_SECONDS: Final = 0.5
"""Between two looks at whether a partition has been read to its end: only then does time pass in
one without records."""

CATCH_UP_SECONDS: Final = 60.0
"""Most time for reading the outcome topic of new partitions; then it is tried again."""

FOLLOWING: Final = {"auto.offset.reset": "error"}
"""Fetches that wait for more records (``fetch.min.bytes``) would cost less, but the embedded broker
keeps producers waiting meanwhile, for seconds."""


class OutcomeFollower:
    """Joins what users did with answers; see the module.

    Parameters
    ----------
    settings, topics
        Where the records are.
    wanted
        Returns the rollout state whose arms are compared, None if there is none, and the
        partitions that this worker serves. Called in the thread.
    delivery
        Sends the outcomes.
    note_interactions
        Called in the thread with the interactions that are joined.

    Attributes
    ----------
    progress
        What is known of the partitions that are followed; replaced whole.
    trouble
        Why nothing is being joined; None while all is well.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        wanted: Callable[[], tuple[RolloutState | None, Collection[int]]],
        delivery: Delivery,
        note_interactions: Callable[[Sequence[Message]], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._wanted = wanted
        self._delivery = delivery
        self._note_interactions = note_interactions
        self._stopping = threading.Event()
        self._made_again: frozenset[str] = frozenset()
        self._epoch: int | None = None
        self._served: frozenset[int] = frozenset()
        self._joins: dict[int, PartitionJoin] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._stalls: dict[str, ReadStall] = {}
        self.progress = JoinProgress()
        self.trouble: str | None = None

    def start(self) -> None:
        """Begin; records are sent from the event loop that runs now."""
        self._loop = asyncio.get_running_loop()
        follow_until_stopped(
            "outcomes", self._settings, FOLLOWING, self._follow, self._note_trouble, self._stopping
        )

    def stop(self) -> None:
        """End without waiting: what was not sent is joined again by whoever takes over."""
        self._stopping.set()

    def note_made_again(self, topic: str) -> None:
        """Begin all joins again if it is one of theirs: by itself, the client reads on in the old
        one, whose end may lie behind that of the new one, and users would close unread.
        """
        joined = (self._topics.responses, self._topics.interactions, self._topics.outcomes)
        self._made_again |= {topic} & {known.name for known in joined}

    def notice(self) -> Notice | None:
        """Return why nothing is being joined; None while all is well."""
        if self.trouble is None:
            return None
        return Notice(
            NoticeCode.OUTCOMES_NOT_JOINED,
            f"{self._topics.outcomes.name}: {self.trouble}; retrying. Users of the experiment are "
            "counted later, or never if Kafka removes their answers first",
        )

    def _note_trouble(self, error: Exception) -> None:
        self.trouble = str(error) or repr(error)

    def _follow(self, consumer: Consumer) -> None:
        self._made_again, self._joins, self._ends = frozenset(), {}, {}
        looked_at = 0.0
        while not self._stopping.is_set():
            if self._made_again:
                raise TransportError(f"recreated: {', '.join(sorted(self._made_again))}")
            state, served = self._wanted()
            self._served = frozenset(served) or self._served
            self._follow_wanted(consumer, state)
            if not self._joins:
                self._note_all_is_well()
                self._stopping.wait(IDLE_SECONDS)
                continue
            batch = consumer.consume(BATCH_RECORDS, POLL_SECONDS)
            self._take(batch)
            if len(batch) < BATCH_RECORDS:  # all that was fetched has been taken
                self._require_progress(consumer)
            if time.monotonic() - looked_at > LOOK_SECONDS:
                looked_at = time.monotonic()
                self._pass_time(consumer)
            self._send()
            self._note_all_is_well()

    def _note_all_is_well(self) -> None:
        self.progress = progress_of(self._joins.values())
        self.trouble = None

    def _follow_wanted(self, consumer: Consumer, state: RolloutState | None) -> None:
        """Begin and end joins, if other partitions or another state are wanted than before."""
        epoch = None if state is None else state.epoch
        numbers = frozenset() if state is None else self._served
        if epoch == self._epoch and numbers == self._joins.keys():
            return
        if epoch != self._epoch:
            self._joins, self._ends, self._epoch = {}, {}, epoch
            self.progress = JoinProgress()
        self._joins = {number: join for number, join in self._joins.items() if number in numbers}
        self._ends = {place: end for place, end in self._ends.items() if place[1] in numbers}
        new = numbers - self._joins.keys()
        if state is not None and new:
            experiment = experiment_of(
                state, self._settings.attribution_seconds, self._settings.outcome_kinds
            )
            joins, ends = self._begin(consumer, experiment, new)
            self._joins, self._ends = self._joins | joins, self._ends | ends
        consumer.assign(
            [TopicPartition(topic, number, end) for (topic, number), end in self._ends.items()]
        )
        self._stalls = {topic: ReadStall(time.monotonic()) for topic, _ in self._ends}

    def _require_progress(self, consumer: Consumer) -> None:
        now = time.monotonic()
        for name, stall in self._stalls.items():
            at = {number: end for (topic, number), end in self._ends.items() if topic == name}
            if stall.is_due(now):
                stall.require_progress(now, at, current_ends(consumer, name, at))

    def _begin(
        self, consumer: Consumer, experiment: Experiment, numbers: Collection[int]
    ) -> tuple[dict[int, PartitionJoin], dict[tuple[str, int], int]]:
        """Return new joins that know who is counted, and from where each partition is read."""
        since = max(0, round(experiment.since * 1000) - BEFORE_MS)
        joins = {number: PartitionJoin(number, experiment) for number in numbers}
        outcomes = self._topics.outcomes.name
        ends = _offsets_from(consumer, outcomes, dict.fromkeys(numbers, since))
        consumer.assign([TopicPartition(*place, end) for place, end in ends.items()])
        for message in messages(consumer, CATCH_UP_SECONDS, to_end=True):
            topic, number, offset = place_of(message)
            joins[number].take_outcome(message.value(), earlier=True)
            ends[topic, number] = offset + 1
        before = max(experiment.window_ms, BEFORE_MS)
        begin_at = {
            number: since if join.latest_since is None else max(since, join.latest_since - before)
            for number, join in joins.items()
        }
        for name in (self._topics.responses.name, self._topics.interactions.name):
            ends |= _offsets_from(consumer, name, begin_at)
        return joins, ends

    def _take(self, batch: Sequence[Message]) -> None:
        """Take in records as they were read, those of one partition at once."""
        by_place: defaultdict[tuple[str, int], list[Message]] = defaultdict(list)
        ends = self._ends
        for message in batch:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if not error.retriable():
                    raise KafkaException(error)
                continue
            topic, number, offset = place_of(message)
            place = topic, number
            if place not in ends:
                continue  # of before the last assignment
            if error is not None:
                ends[place] = offset
                continue
            ends[place] = offset + 1
            by_place[place].append(message)
        for (topic, number), records in by_place.items():
            self._take_partition(topic, self._joins[number], records)

    def _take_partition(self, topic: str, join: PartitionJoin, records: Sequence[Message]) -> None:
        payloads = [message.value() for message in records]
        if topic == self._topics.outcomes.name:
            for payload in payloads:
                join.take_outcome(payload)
            return
        timed = zip(times_of(records, round(time.time() * 1000)), payloads, strict=True)
        if topic == self._topics.responses.name:
            join.take_responses(timed)
            return
        for at, payload in timed:
            join.take_interaction(at, payload)
        self._note_interactions(records)

    def _pass_time(self, consumer: Consumer) -> None:
        """Let time pass in partitions that have been read to their end."""
        asked_at = round(time.time() * 1000)
        late = {
            number: join
            for number, join in self._joins.items()
            if not join.is_idle and join.clock < asked_at - SLACK_MS
        }
        for topic, pass_until in (
            (self._topics.responses.name, PartitionJoin.pass_responses),
            (self._topics.interactions.name, PartitionJoin.pass_interactions),
        ):
            for number, end in ends_now(consumer, topic, late, BROKER_SECONDS).items():
                if self._ends[topic, number] >= end:
                    pass_until(late[number], asked_at - SLACK_MS)

    def _send(self) -> None:
        """Send what was found, and wait until Kafka has confirmed it."""
        records = [
            self._outgoing(number, record)
            for number, join in self._joins.items()
            for record in join.collect()
        ]
        if records:
            asyncio.run_coroutine_threadsafe(
                send_until_confirmed(self._delivery, records), self._loop
            ).result()

    def _outgoing(self, number: int, record: OutcomeRecord) -> Outgoing:
        return Outgoing(
            self._topics.outcomes.name,
            str(record.user_id).encode(),
            encode(record),
            partition=number,
        )


def _offsets_from(
    consumer: Consumer, topic: str, times: Mapping[int, int]
) -> dict[tuple[str, int], int]:
    found = offsets_at(consumer, topic, times, BROKER_SECONDS)
    return {(topic, number): offset for number, offset in found.items()}
