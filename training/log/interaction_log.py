"""The interaction topic, read in bulk from given offsets.

An edge: knows Kafka's client. Must not know what the records hold, nor what they are used for. It
reads with the plain assigned consumer of :mod:`registry.kafka.topic_reader`: no group, no commits.
That module reads a few records, up to a deadline; this one reads many, in batches, up to known
offsets, across the gaps that compaction and transactions leave.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from registry.connection.reachability import DENIALS, metadata_of, refused, unreachable
from registry.errors import ConfigurationError, TransportError
from registry.kafka.topic_reader import connected
from registry.settings import Settings
from training.log.offset_ranges import Span

BATCH_RECORDS: Final = 5_000
"""Records taken from the client at once; progress is reported this often."""

STALL_SECONDS: Final = 30.0
"""So long without any record, the read is given up: a broker's restart fits in, a lost one does
not. An open transaction on the topic looks the same, because its records cannot be read yet."""

POLL_SECONDS: Final = 0.1
"""The client waits this long to fill a batch, so the last one costs no more than this."""

READING: Final[dict[str, str | int]] = {
    "fetch.wait.max.ms": 20,
    "fetch.queue.backoff.ms": 10,
    "queued.min.messages": 20_000,
    "queued.max.messages.kbytes": 16_384,
}
"""How the client reads. A fetch at a partition's end is held this long by the broker, and the next
partition's behind it. So many records are read ahead, a twentieth of a second's work, of 16 MB at
most; the client's own 100,000 take 30 MB more. When they are there it looks again this soon: its
default of a second is a pause after each time, two thirds of a whole read (`bench train`)."""

STRICT: Final[dict[str, str | int]] = {"auto.offset.reset": "error"}
"""Records that retention took away are an error, not a skip."""

Ranges: TypeAlias = dict[int, tuple[int, int]]
"""``[start, end)`` offsets by partition."""


class Log:
    """One topic; :func:`opened` makes it.

    Parameters
    ----------
    consumer
        Of nothing yet.
    topic
        Its name.
    """

    def __init__(self, consumer: Consumer, settings: Settings, topic: str) -> None:
        self.topic = topic
        self._settings = settings
        self._consumer = consumer

    def partitions(self) -> list[int]:
        """Return the partitions' numbers, ascending.

        Raises
        ------
        ConfigurationError
            If there is no such topic.
        """
        metadata = metadata_of(self._consumer, self._settings, self.topic, seconds=STALL_SECONDS)
        found = metadata.topics[self.topic]
        if found.error is not None or not found.partitions:
            raise ConfigurationError(
                f"topic {self.topic}: {found.error or 'has no partitions'}; "
                "`recstream topics create` creates it, `recstream ingest` fills it"
            )
        return sorted(found.partitions)

    def limits(self, partitions: Sequence[int]) -> Ranges:
        """Return what Kafka has of each partition: ``[first offset, high watermark)``."""
        listed = {number: self._watermarks(number) for number in partitions}
        return {number: (listed[number][0], end) for number, end in self._ends(listed).items()}

    def batches(self, partition: int, span: Span) -> Iterator[tuple[int, list[Message]]]:
        """Yield records of `span`, with the offset up to which all have come; the last is its end.

        A gap at the end of a range (compaction, transaction markers) has no last record: it is
        passed by the client's news that the partition's end is reached.

        Raises
        ------
        TransportError
            If no record has come for `STALL_SECONDS`.
        """
        self._consumer.assign([TopicPartition(self.topic, partition, span.start)])
        position, moved = span.start, time.monotonic()
        while position < span.end:
            many = min(BATCH_RECORDS, span.end - position)
            taken = self._consumer.consume(many, timeout=POLL_SECONDS)
            messages = [message for message in taken if message.error() is None]
            if len(messages) < len(taken):
                _raise_but_end(taken)
            reached = max((_next_offset(message) for message in taken[-1:]), default=position)
            if reached > position:
                position, moved = min(reached, span.end), time.monotonic()
                while messages and _offset(messages[-1]) >= span.end:
                    messages.pop()
                yield position, messages
            elif time.monotonic() - moved > STALL_SECONDS:
                raise TransportError(
                    f"topic {self.topic}: no record for {STALL_SECONDS:.0f} s in partition "
                    f"{partition} from offset {position}; check the broker, and for a transaction "
                    "left open"
                )

    def _ends(self, listed: Ranges) -> dict[int, int]:
        """Return the partitions' high watermarks, as fetches tell them.

        The listed ends are only a place to begin: the embedded broker lists the first offset of the
        last batch plus one, while the watermark in its fetch responses is right.
        """
        self._consumer.assign(
            [TopicPartition(self.topic, number, end) for number, (_, end) in listed.items()]
        )
        deadline = time.monotonic() + STALL_SECONDS
        while True:
            message = self._consumer.poll(POLL_SECONDS)
            error = None if message is None else message.error()
            if error is not None and error.code() in DENIALS:
                raise KafkaException(error)
            ends = {number: self._cached_end(number) for number in listed}
            if all(end >= listed[number][1] for number, end in ends.items()):
                return ends
            if time.monotonic() > deadline:
                raise TransportError(
                    f"topic {self.topic}: the broker did not report its end offsets: {ends}"
                )

    def _cached_end(self, partition: int) -> int:
        place = TopicPartition(self.topic, partition)
        return self._consumer.get_watermark_offsets(place, cached=True)[1]

    def _watermarks(self, partition: int) -> tuple[int, int]:
        """Ask until the partition has a leader: it may be new, or its leader moving."""
        deadline = time.monotonic() + STALL_SECONDS
        place = TopicPartition(self.topic, partition)
        while True:
            try:
                return self._consumer.get_watermark_offsets(place, STALL_SECONDS)
            except KafkaException as error:
                if not _is_about_leaders(error) or time.monotonic() > deadline:
                    raise
            self._consumer.poll(POLL_SECONDS)  # nothing is assigned: this only waits


@contextmanager
def opened(settings: Settings, topic: str) -> Iterator[Log]:
    """Yield the log.

    Raises
    ------
    TransportError
        If Kafka does not answer, in what is done with the log, too.
    """
    with connected(settings, READING | STRICT) as consumer:
        try:
            yield Log(consumer, settings, topic)
        except KafkaException as error:
            problem = error.args[0]
            if problem.code() in DENIALS:
                raise refused(problem, "not readable", "READ", "topic", topic) from error
            raise unreachable(settings, error) from error


def _raise_but_end(messages: Sequence[Message]) -> None:
    for message in messages:
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)


def _offset(message: Message) -> int:
    offset = message.offset()
    if offset is None:
        raise TransportError(
            f"the Kafka client returned a message without topic or offset: {message}"
        )
    return offset


def _next_offset(message: Message) -> int:
    return _offset(message) if message.error() is not None else _offset(message) + 1


def _is_about_leaders(error: KafkaException) -> bool:
    return error.args[0].code() in {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }
