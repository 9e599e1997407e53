"""Lost ranges: records that are gone from Kafka and that no segment holds; refused, or recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from registry.error_codes import TrainingCode
from registry.errors import TrainingFailed
from training.log.offset_ranges import RangePlan, Span
from training.log.rows import lost_rows
from training.log.segments import Segments

LostRanges: TypeAlias = Literal["refuse", "accept"]

Lost: TypeAlias = Mapping[str, Sequence[tuple[int, int]]]
"""Ranges that are lost, by partition."""


def settle_lost(
    lost_ranges: LostRanges, topic: str, segments: Segments, plans: Mapping[int, RangePlan]
) -> None:
    """Refuse lost ranges, or note that they are lost for ever."""
    for partition, planned in plans.items():
        if planned.lost and lost_ranges == "refuse":
            raise lost_range(topic, partition, planned.lost, segments.place)
        for span in planned.lost:
            segments.add(partition, span, lost_rows(span))


def lost_range(topic: str, partition: int, gaps: Sequence[Span], place: str) -> TrainingFailed:
    """Return the refusal of a run whose `gaps` the segments at `place` do not hold."""
    spans = ", ".join(f"[{start}, {end})" for start, end in gaps)
    return TrainingFailed(
        f"topic {topic}, partition {partition}: offsets {spans} are gone from Kafka, and {place} "
        f"does not hold them; with RETRAIN_LOST_RANGES=accept a run trains on the rest and "
        f"records the loss",
        TrainingCode.LOST_RANGE,
    )
