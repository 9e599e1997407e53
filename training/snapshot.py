"""The snapshot: the interaction topic up to fixed end offsets.

An edge: knows Kafka, and what of it the registry's segments hold already; must not know weights or
models.

1. What the segments hold of each partition is listed, then its high watermark, as a fetch at its
   end tells it, is noted once. The range goes from where the segments, or else Kafka, begin to that
   end. What is produced later belongs to the next run.
2. The last record that the segments hold is compared with Kafka's: it must be the same topic still.
3. What no segment holds is read with a plain assigned consumer: no group, no commits, nobody is
   disturbed. It becomes segments as it comes, so a run that is killed has not read for nothing.
   What is in neither is lost: the run ends, or with ``RETRAIN_LOST_RANGES=accept`` the snapshot
   says so.
4. The cells are made from the segments alone, so they are the same whoever read the records.
5. The snapshot's id is a digest of topic, ranges and lost ranges: the same id, the same cells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from registry.errors import ConfigurationError, TrainingFailed, TransportError
from registry.manifest import DataSnapshot, digest
from registry.objects import Objects
from registry.settings import Settings
from registry.topics import client_config, topics_of
from training.matrix import Cells, gather
from training.ranges import SEGMENT_RECORDS, Plan, Span, missing, plan
from training.segments import SCHEMA, Segments, lost_rows, lost_spans, table_of

BATCH_RECORDS: Final = 10_000
"""Records taken from the client at once; progress is reported this often."""

STALL_SECONDS: Final = 30.0
"""So long without any record, the read is given up: a broker's restart fits in, a lost one does
not. An open transaction on the topic looks the same, because its records cannot be read yet."""

POLL_SECONDS: Final = 0.1
"""The client waits this long to fill a batch, so the last one costs no more than this."""

FETCH_WAIT_MS: Final = 20
"""The broker holds a fetch at a partition's end this long, and the next partition's behind it."""

QUEUED_KILOBYTES: Final = 16_384
"""Read ahead by the client: a tenth of a second's work, and not the 64 MB that it would take."""

Ranges: TypeAlias = dict[int, tuple[int, int]]
"""``[start, end)`` offsets by partition."""

Lost: TypeAlias = Mapping[str, Sequence[tuple[int, int]]]
"""Ranges that are lost, by partition."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What was read.

    Parameters
    ----------
    described
        For the manifest.
    cells
        The training set.
    unusable
        Records that taught nothing, by reason.
    fresh
        Records that came from Kafka; the others were held by segments.
    records
        All of them.
    """

    described: DataSnapshot
    cells: Cells
    unusable: Mapping[str, int]
    fresh: int
    records: int


def read_snapshot(settings: Settings, advance: Callable[[int, int], None]) -> Snapshot:
    """Read the interaction topic up to its present end, from Kafka only what is new.

    A record that cannot be used is counted, never fatal: the topic is kept for ever, so one poison
    record would otherwise end all training.

    Parameters
    ----------
    settings
        Which broker, topic and registry; ``retrain_lost_ranges``.
    advance
        Called with the new offsets passed and the new offsets there are.

    Raises
    ------
    ConfigurationError
        If the topic is missing, or is not the one that the segments are of.
    TrainingFailed
        ``lost_range`` if records are gone, unless that is accepted.
    TransportError
        If Kafka does not answer, or stops giving records before the end of the ranges.
    ArtifactError
        If the registry cannot be read or written.
    """
    topic = topics_of(settings).interactions.name
    segments = Segments(Objects(settings.model_registry), topic)
    with _consuming(settings, topic) as consumer:
        held = {one: segments.held(one) for one in _partitions(consumer, topic)}
        limits = _limits(consumer, topic, list(held))
        _require_same_topic(consumer, topic, segments, held, limits)
        plans = {one: plan(held[one], *limits[one]) for one in sorted(held)}
        _settle_lost(settings, topic, segments, plans)
        fresh = _read_new(consumer, topic, segments, plans, advance)
    return _assembled(topic, segments, {one: told.range for one, told in plans.items()}, fresh)


def read_again(settings: Settings, described: DataSnapshot) -> Snapshot:
    """Read the snapshot that a manifest describes, from the registry's segments.

    Who was forgotten since then is missing from it: its segments hold them no more.

    Raises
    ------
    TrainingFailed
        ``lost_range`` if the segments do not hold all of it.
    ArtifactError
        If the registry cannot be read.
    """
    segments = Segments(Objects(settings.model_registry), described.topic)
    ranges = {int(one): Span(*span) for one, span in described.partitions.items()}
    return _assembled(described.topic, segments, ranges, fresh=0)


def snapshot_id(topic: str, ranges: Ranges, lost: Lost | None = None) -> str:
    """Return the digest of a topic, its ranges, and what is lost of them.

    >>> snapshot_id("reco.interactions", {0: (0, 7), 1: (0, 0)})
    'sha256:b3fbb1ab61e8bca3'
    """
    whole = (f"{partition}:{start}-{end}" for partition, (start, end) in sorted(ranges.items()))
    gone = (
        f"lost:{partition}:{start}-{end}"
        for partition, spans in sorted((lost or {}).items())
        for start, end in spans
    )
    return "sha256:" + digest("\n".join((topic, *whole, *gone)).encode())[:16]


def _assembled(topic: str, segments: Segments, ranges: Mapping[int, Span], fresh: int) -> Snapshot:
    for partition, span in ranges.items():
        if gaps := missing(segments.held(partition), span):
            raise _lost_range(topic, partition, gaps, segments.place)
    rows = _Rows(segments, ranges)
    cells, interactions, unusable, forgotten = gather(rows)
    for (partition, segment), offsets in zip(rows.read, forgotten, strict=True):
        if len(offsets):
            segments.forget(partition, segment, offsets)
    lost = {partition: tuple(spans) for partition, spans in rows.lost.items()}
    described = DataSnapshot(
        id=snapshot_id(topic, dict(ranges), lost),
        topic=topic,
        partitions={str(one): (span.start, span.end) for one, span in sorted(ranges.items())},
        interactions=interactions,
        users=len(cells.user_ids),
        items=len(cells.item_ids),
        lost=lost,
    )
    return Snapshot(described, cells, dict(unusable), fresh, rows.count)


class _Rows:
    """The rows of some ranges, by partition and offset; remembers what it has passed."""

    def __init__(self, segments: Segments, ranges: Mapping[int, Span]) -> None:
        self._segments, self._ranges = segments, ranges
        self.read: list[tuple[int, Span]] = []
        self.lost: dict[str, list[tuple[int, int]]] = {}
        self.count = 0

    def __iter__(self) -> Iterator[tuple[int, pa.Table]]:
        for partition, span in sorted(self._ranges.items()):
            for cut, table in self._segments.read(partition, span):
                for gone in lost_spans(table):
                    self.lost.setdefault(str(partition), []).append((gone.start, gone.end))
                self.read.append((partition, cut.segment))
                self.count += len(table)
                yield partition, table


def _settle_lost(
    settings: Settings, topic: str, segments: Segments, plans: Mapping[int, Plan]
) -> None:
    """Refuse lost ranges, or note that they are lost for ever."""
    for partition, told in plans.items():
        if told.lost and settings.retrain_lost_ranges == "refuse":
            raise _lost_range(topic, partition, told.lost, segments.place)
        for span in told.lost:
            segments.add(partition, span, lost_rows(span))


def _lost_range(topic: str, partition: int, gaps: Sequence[Span], place: str) -> TrainingFailed:
    spans = ", ".join(f"[{start}, {end})" for start, end in gaps)
    return TrainingFailed(
        f"topic {topic}, partition {partition}: offsets {spans} are gone from Kafka, and {place} "
        "does not hold them; RETRAIN_LOST_RANGES=accept trains on the rest, and says so",
        "lost_range",
    )


def _read_new(
    consumer: Consumer,
    topic: str,
    segments: Segments,
    plans: Mapping[int, Plan],
    advance: Callable[[int, int], None],
) -> int:
    """Read what is not held, and write it; return how many records there were."""
    spans = [(partition, span) for partition, told in plans.items() for span in told.unread]
    total = sum(span.length for _, span in spans)
    passed = records = 0
    for partition, span in spans:
        begun, tables = span.start, [SCHEMA.empty_table()]
        for position, messages in _batches(consumer, topic, partition, span):
            tables.append(_table(messages))
            records += len(messages)
            if position == span.end or position - begun >= SEGMENT_RECORDS:
                segments.add(partition, Span(begun, position), pa.concat_tables(tables))
                begun, tables = position, [SCHEMA.empty_table()]
            advance(passed + position - span.start, total)
        passed += span.length
    advance(total, total)
    return records


def _table(messages: Sequence[Message]) -> pa.Table:
    offsets = cast("list[int]", [message.offset() for message in messages])  # see _batches
    times = [message.timestamp()[1] / 1000 for message in messages]
    return table_of(offsets, times, [message.value() for message in messages])


def _batches(
    consumer: Consumer, topic: str, partition: int, span: Span
) -> Iterator[tuple[int, list[Message]]]:
    """Yield records of `span`, with the offset up to which all have come; the last is its end.

    A gap at the end of a range (compaction, transaction markers) has no last record: it is passed
    by the client's news that the partition's end is reached.
    """
    consumer.assign([TopicPartition(topic, partition, span.start)])
    position, moved = span.start, time.monotonic()
    while position < span.end:
        taken = consumer.consume(min(BATCH_RECORDS, span.end - position), timeout=POLL_SECONDS)
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
                f"topic {topic}: no record for {STALL_SECONDS:.0f} s in partition {partition} "
                f"from offset {position}; check the broker, and for a transaction left open"
            )


def _raise_but_end(messages: Sequence[Message]) -> None:
    for message in messages:
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)


def _offset(message: Message) -> int:
    offset = message.offset()
    if offset is None:
        raise TransportError(f"the Kafka client gave a message from nowhere: {message}")
    return offset


def _next_offset(message: Message) -> int:
    return _offset(message) if message.error() is not None else _offset(message) + 1


def _require_same_topic(
    consumer: Consumer,
    topic: str,
    segments: Segments,
    held: Mapping[int, Sequence[Span]],
    limits: Ranges,
) -> None:
    """Compare the last record that the segments hold with what stands there now.

    A topic that was deleted and made again counts its offsets from 0 again, and may have passed
    the old end meanwhile.
    """
    for partition, spans in held.items():
        low, high = limits[partition]
        end = max((span.end for span in spans), default=0)
        if end > high:
            raise _other_topic(topic, partition, f"hold offsets up to {end}, it ends at {high}")
        for offset, at in _last_record(segments, partition, spans):
            if offset < low:
                continue
            for _, messages in _batches(consumer, topic, partition, Span(offset, offset + 1)):
                found = [message.timestamp()[1] / 1000 for message in messages]
                if found and found != [at]:
                    raise _other_topic(
                        topic, partition, f"hold a record of {at} at offset {offset}, it {found[0]}"
                    )


def _last_record(
    segments: Segments, partition: int, spans: Sequence[Span]
) -> Iterator[tuple[int, float]]:
    if not spans:
        return
    last = max(spans, key=lambda one: one.end)
    for _, table in segments.read(partition, last, ["offset", "at"]):
        for row in table.slice(max(0, len(table) - 1)).to_pylist():
            if row["at"] is not None:  # else it stands for a lost range
                yield row["offset"], row["at"]


def _other_topic(topic: str, partition: int, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"topic {topic}, partition {partition}: the registry's snapshots {why}. So it was deleted "
        "and made again, or MODEL_REGISTRY is another cluster's. To begin anew, move the folder "
        f"snapshots/{topic} out of the registry"
    )


@contextmanager
def _consuming(settings: Settings, topic: str) -> Iterator[Consumer]:
    consumer = Consumer(
        client_config(settings)
        | {
            "group.id": f"{settings.topic_prefix}-snapshot",  # required by the client, never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,  # ranges that end in a gap have no last record
            "auto.offset.reset": "error",  # records that retention took away: an error, not a skip
            "fetch.wait.max.ms": FETCH_WAIT_MS,
            "queued.max.messages.kbytes": QUEUED_KILOBYTES,
        }
    )
    try:
        yield consumer
    except KafkaException as error:
        raise TransportError(
            f"topic {topic}: {error}; check KAFKA_BOOTSTRAP_SERVERS and that the broker is up"
        ) from error
    finally:
        consumer.close()


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=STALL_SECONDS).topics[topic]
    if found.error is not None or not found.partitions:
        raise ConfigurationError(
            f"topic {topic}: {found.error or 'has no partitions'}; "
            "`recstream topics create` makes it, `recstream ingest` fills it"
        )
    return sorted(found.partitions)


def _limits(consumer: Consumer, topic: str, partitions: Sequence[int]) -> Ranges:
    listed = {one: _watermarks(consumer, topic, one) for one in partitions}
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
