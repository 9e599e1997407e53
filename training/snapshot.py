"""The snapshot: the interaction topic up to fixed end offsets.

An edge: knows Kafka and the ranges that it read; must not know weights or models.

1. Each partition's high watermark, as a fetch at its end tells it, is noted once; with the low
   watermark it makes the range ``[start, end)``. What is produced later belongs to the next run.
2. Each range is read with a plain assigned consumer: no group, no commits, nobody is disturbed.
3. The snapshot's id is a digest of topic and ranges: the same ranges, the same training set.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from registry.errors import ConfigurationError, RecordError, TransportError
from registry.manifest import DataSnapshot, digest
from registry.records import Interaction, decode
from registry.settings import Settings
from registry.topics import client_config, topics_of
from training.matrix import Cells, EventLog

BATCH_RECORDS: Final = 10_000
"""Records taken from the client at once; progress is reported this often."""

STALL_SECONDS: Final = 30.0
"""So long without any record, the read is given up: a broker's restart fits in, a lost one does
not. An open transaction on the topic looks the same, because its records cannot be read yet."""

POLL_SECONDS: Final = 0.1
"""The client waits this long to fill a batch, so the last one costs no more than this."""

Ranges: TypeAlias = dict[int, tuple[int, int]]
"""``[start, end)`` offsets by partition."""


class _Record(NamedTuple):
    """A record, or (`is_end`) the news that nothing stands before `offset` any more.

    The news is how a gap at the end of a range (compaction, transaction markers) is passed.
    """

    partition: int
    offset: int
    at: float
    payload: bytes | None
    is_end: bool

    @property
    def next_offset(self) -> int:
        return self.offset if self.is_end else self.offset + 1


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What was read. ``unusable`` counts the records that taught nothing, by reason."""

    described: DataSnapshot
    cells: Cells
    unusable: Mapping[str, int]


def read_snapshot(settings: Settings, advance: Callable[[int, int], None]) -> Snapshot:
    """Read the interaction topic up to its present end.

    A record that cannot be used is counted, never fatal: the topic is kept for ever, so one poison
    record would otherwise end all training.

    Parameters
    ----------
    settings
        Which broker and topic.
    advance
        Called with the offsets passed and the offsets there are.

    Raises
    ------
    ConfigurationError
        If the topic is missing.
    TransportError
        If Kafka does not answer, or stops giving records before the end of the ranges.
    """
    topic = topics_of(settings).interactions.name
    consumer = Consumer(
        client_config(settings)
        | {
            "group.id": f"{settings.topic_prefix}-snapshot",  # required by the client, never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,  # ranges that end in a gap have no last record
            "auto.offset.reset": "error",  # records that retention took away: an error, not a skip
        }
    )
    try:
        ranges = _ranges(consumer, topic)
        log, unusable = EventLog(), Counter[str]()
        for record in _records(consumer, topic, ranges, advance):
            try:
                event = decode(Interaction, record.payload)
                log.add(event, record.at, record.partition, record.offset)
            except RecordError as error:
                unusable[error.code] += 1
    except KafkaException as error:
        raise TransportError(
            f"topic {topic}: {error}; check KAFKA_BOOTSTRAP_SERVERS and that the broker is up"
        ) from error
    finally:
        consumer.close()
    cells = log.cells()
    described = DataSnapshot(
        id=snapshot_id(topic, ranges),
        topic=topic,
        partitions={str(partition): span for partition, span in sorted(ranges.items())},
        interactions=len(log),
        users=len(cells.user_ids),
        items=len(cells.item_ids),
    )
    return Snapshot(described, cells, dict(unusable))


def snapshot_id(topic: str, ranges: Ranges) -> str:
    """Return the digest of a topic and its ranges.

    >>> snapshot_id("reco.interactions", {0: (0, 7), 1: (0, 0)})
    'sha256:b3fbb1ab61e8bca3'
    """
    spans = (f"{partition}:{start}-{end}" for partition, (start, end) in sorted(ranges.items()))
    return "sha256:" + digest("\n".join((topic, *spans)).encode())[:16]


def _ranges(consumer: Consumer, topic: str) -> Ranges:
    found = consumer.list_topics(topic, timeout=STALL_SECONDS).topics[topic]
    if found.error is not None or not found.partitions:
        raise ConfigurationError(
            f"topic {topic}: {found.error or 'has no partitions'}; "
            "`recstream topics create` makes it, `recstream ingest` fills it"
        )
    listed = {one: _watermarks(consumer, topic, one) for one in found.partitions}
    return {one: (listed[one][0], end) for one, end in _ends(consumer, topic, listed).items()}


def _ends(consumer: Consumer, topic: str, listed: Ranges) -> dict[int, int]:
    """Return the partitions' high watermarks, as fetches tell them.

    The listed ends are only a place to begin: the embedded broker lists the first offset of the
    last batch plus one, while the watermark in its fetch responses is right.
    """
    consumer.assign([TopicPartition(topic, one, end) for one, (_, end) in listed.items()])
    deadline = time.monotonic() + STALL_SECONDS
    while True:
        consumer.poll(POLL_SECONDS)
        ends = {
            one: consumer.get_watermark_offsets(TopicPartition(topic, one), cached=True)[1]
            for one in listed
        }
        if all(end >= listed[one][1] for one, end in ends.items()):
            return ends
        if time.monotonic() > deadline:
            raise TransportError(f"topic {topic}: the broker does not tell where it ends: {ends}")


def _watermarks(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """Ask until the partition has a leader: it may be new, or its leader moving."""
    deadline = time.monotonic() + STALL_SECONDS
    while True:
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, partition), STALL_SECONDS)
        except KafkaException as error:
            if not _is_about_leaders(error) or time.monotonic() > deadline:
                raise
        consumer.poll(POLL_SECONDS)  # nothing is assigned: this only waits


def _is_about_leaders(error: KafkaException) -> bool:
    return error.args[0].code() in {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }


def _records(
    consumer: Consumer, topic: str, ranges: Ranges, advance: Callable[[int, int], None]
) -> Iterator[_Record]:
    """Give every record of the ranges; end when each range has been passed."""
    position = {partition: start for partition, (start, _) in ranges.items()}
    waiting = {partition for partition, (start, end) in ranges.items() if start < end}
    first, total = sum(position.values()), sum(end - start for start, end in ranges.values())
    consumer.assign([TopicPartition(topic, one, position[one]) for one in waiting])
    moved = time.monotonic()
    while waiting:
        for record in map(_record, consumer.consume(BATCH_RECORDS, timeout=POLL_SECONDS)):
            _, end = ranges[record.partition]
            if not record.is_end and record.offset < end:
                yield record
            if record.next_offset > position[record.partition]:
                position[record.partition] = min(record.next_offset, end)
                moved = time.monotonic()
            if record.next_offset >= end and record.partition in waiting:
                waiting.remove(record.partition)
                consumer.pause([TopicPartition(topic, record.partition)])
        advance(sum(position.values()) - first, total)
        if time.monotonic() - moved > STALL_SECONDS:
            raise TransportError(
                f"topic {topic}: no record for {STALL_SECONDS:.0f} s in partitions "
                f"{sorted(waiting)}; check the broker, and for a transaction left open"
            )


def _record(message: Message) -> _Record:
    error, partition, offset = message.error(), message.partition(), message.offset()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
    if partition is None or offset is None:
        raise TransportError(f"the Kafka client gave a message from nowhere: {message}")
    _, milliseconds = message.timestamp()
    return _Record(partition, offset, milliseconds / 1000, message.value(), error is not None)
