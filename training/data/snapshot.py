"""The snapshot: the interaction topic up to fixed end offsets.

An edge: knows what the topic has, and what the registry's segments already hold of it; must not
know how Kafka is read, weights or models.

1. The segments of each partition are listed, then its high watermark is fetched once. The range
  goes from where the segments, or else Kafka, begin to that end. Later records belong to the next
  run.
2. The last record in the segments is compared with Kafka's: it must still be the same topic.
3. Records that no segment holds are read and written to segments as they arrive, so what a killed
  run has read is kept. Records in neither are lost: the run fails, or with
  ``RETRAIN_LOST_RANGES=accept`` the snapshot records the loss.
4. The cells are built from the segments alone, so they are the same whichever run read the records.
5. The snapshot's id is a digest of topic, ranges and lost ranges: the same id and the same kinds of
   events that count, the same cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from registry.kafka.topics import topics_of
from registry.settings import Settings
from registry.storage.objects import Objects
from registry.versions.manifest import digest
from registry.wire.training_records.data_report import DataReport
from registry.wire.training_records.event_weights import (
    EventWeights,
    kinds_weighed,
    undo_targets,
)
from registry.wire.training_records.gate_results import DataSnapshot
from training.data.cells_from_rows import Gathered, gather
from training.data.matrix import Cells
from training.log.interaction_log import Log, Ranges, opened
from training.log.lost_ranges import Lost, lost_range, settle_lost
from training.log.offset_ranges import RangePlan, Span, missing, plan
from training.log.range_rows import RangeRows, by_segment
from training.log.recreated_interactions import require_same_topic
from training.log.rows import LOST, SCHEMA, table_of
from training.log.segment_merging import SEGMENT_RECORDS
from training.log.segments import Segments


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What was read.

    Parameters
    ----------
    described
        For the manifest.
    cells
        The training set.
    fresh
        Records that came from Kafka; the others were held by segments.
    records
        All of them.
    report
        What was counted on the way; without warnings.
    """

    described: DataSnapshot
    cells: Cells
    fresh: int
    records: int
    report: DataReport


def read_snapshot(
    settings: Settings,
    advance: Callable[[int, int], None],
    weights: EventWeights | None = None,
) -> Snapshot:
    """Read the interaction topic up to its present end, from Kafka only what is new.

    A record that cannot be used is counted, never fatal: the topic is kept for ever, so one poison
    record would otherwise end all training.

    Parameters
    ----------
    settings
        Which broker, topic and registry; ``retrain_lost_ranges``.
    advance
        Called with the new offsets passed and the new offsets there are.
    weights
        Events of these kinds count; None: of those in the settings.

    Raises
    ------
    ConfigurationError
        If the topic is missing, or is not the one that the segments come from.
    TrainingFailed
        ``lost_range`` if records are gone, unless that is accepted.
    TransportError
        If Kafka does not answer, or stops giving records before the end of the ranges.
    ArtifactError
        If the registry cannot be read or written.
    """
    topic = topics_of(settings).interactions.name
    segments = Segments(Objects(settings.model_registry), topic)
    with opened(settings, topic) as log:
        held = {partition: segments.held(partition) for partition in log.partitions()}
        limits = log.limits(list(held))
        require_same_topic(log, segments, held, limits)
        plans = {partition: plan(held[partition], *limits[partition]) for partition in held}
        settle_lost(settings.retrain_lost_ranges, topic, segments, plans)
        fresh = _read_new(log, segments, plans, advance)
    ranges = {partition: planned.range for partition, planned in plans.items()}
    return _assembled(topic, segments, ranges, fresh, weights or settings.event_weights)


def read_again(settings: Settings, described: DataSnapshot, weights: EventWeights) -> Snapshot:
    """Read the snapshot that a manifest describes, from the registry's segments.

    `weights` are those of the events that counted then.

    Who was forgotten since then is missing from it: its segments hold them no more.

    Raises
    ------
    TrainingFailed
        ``lost_range`` if the segments do not hold all of it.
    ArtifactError
        If the registry cannot be read.
    """
    segments = Segments(Objects(settings.model_registry), described.topic)
    ranges = {int(partition): Span(*span) for partition, span in described.partitions.items()}
    return _assembled(described.topic, segments, ranges, 0, weights)


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


def _assembled(
    topic: str,
    segments: Segments,
    ranges: Mapping[int, Span],
    fresh: int,
    weights: EventWeights,
) -> Snapshot:
    for partition, span in ranges.items():
        if gaps := missing(segments.held(partition), span):
            raise lost_range(topic, partition, gaps, segments.place)
    rows = RangeRows(segments, ranges)
    found = gather(rows.read, kinds_weighed(weights), undo_targets(weights))
    _erase(segments, rows, found)
    pa.default_memory_pool().release_unused()  # Arrow would keep some 20 MB, and the fit is next
    lost = {partition: tuple(spans) for partition, spans in rows.lost.items()}
    described = DataSnapshot(
        id=snapshot_id(topic, dict(ranges), lost),
        topic=topic,
        partitions={
            str(partition): (span.start, span.end) for partition, span in sorted(ranges.items())
        },
        interactions=found.interactions,
        users=len(found.cells.user_ids),
        items=len(found.cells.item_ids),
        lost=lost,
        unusable={
            reason: count for reason, count in sorted(found.unusable.items()) if reason != LOST
        },
    )
    return Snapshot(described, found.cells, fresh, rows.count, found.report)


def _erase(segments: Segments, rows: RangeRows, found: Gathered) -> None:
    """Erase what was forgotten. Segments that hold a `forget` go first: were the run to end before
    its mark is written, nothing would tell any more that it met its user.
    """
    gone, met = (
        by_segment(rows.segments, found.forgotten),
        by_segment(rows.segments, found.newly_met),
    )
    none = np.empty(0, np.int64)
    for place in (*met, *(place for place in gone if place not in met)):
        segments.forget(*place, gone.get(place, none), met.get(place, none))


def _read_new(
    log: Log,
    segments: Segments,
    plans: Mapping[int, RangePlan],
    advance: Callable[[int, int], None],
) -> int:
    """Read what is not held, and write it; return how many records there were."""
    spans = [(partition, span) for partition, planned in plans.items() for span in planned.unread]
    total = sum(span.length for _, span in spans)
    passed = records = 0
    for partition, span in spans:
        segment_start, tables = span.start, [SCHEMA.empty_table()]
        for position, messages in log.batches(partition, span):
            tables.append(_table(messages))
            records += len(messages)
            if position == span.end or position - segment_start >= SEGMENT_RECORDS:
                segments.add(partition, Span(segment_start, position), pa.concat_tables(tables))
                segment_start, tables = position, [SCHEMA.empty_table()]
            advance(passed + position - span.start, total)
        passed += span.length
    advance(total, total)
    return records


def _table(messages: Sequence[Message]) -> pa.Table:
    offsets = cast(
        "list[int]", [message.offset() for message in messages]
    )  # they came from a broker
    times = [message.timestamp()[1] / 1000 for message in messages]
    return table_of(offsets, times, [message.value() for message in messages])
