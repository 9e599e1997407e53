"""Refuses an interaction topic that was recreated since its segments were written."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from registry.errors import ConfigurationError
from training.log.interaction_log import Log, Ranges
from training.log.offset_ranges import Span
from training.log.segments import Segments


def require_same_topic(
    log: Log,
    segments: Segments,
    held: Mapping[int, Sequence[Span]],
    limits: Ranges,
) -> None:
    """Compare the last record that the segments hold with Kafka's record at that offset.

    A recreated topic starts again at offset 0, and may have passed the old end meanwhile.
    """
    for partition, spans in held.items():
        low, high = limits[partition]
        end = max((span.end for span in spans), default=0)
        if end > high:
            raise _other_topic(log.topic, partition, f"hold offsets up to {end}, it ends at {high}")
        last = _last_record(segments, partition, spans)
        if last is None or last[0] < low:
            continue
        offset, at = last
        for _, messages in log.batches(partition, Span(offset, offset + 1)):
            found = [message.timestamp()[1] / 1000 for message in messages]
            if found and found != [at]:
                raise _other_topic(
                    log.topic, partition, f"hold a record of {at} at offset {offset}, it {found[0]}"
                )


def _last_record(
    segments: Segments, partition: int, spans: Sequence[Span]
) -> tuple[int, float] | None:
    """Return offset and time of the last record held; None if there is none, or if it is lost."""
    if not spans:
        return None
    newest = max(spans, key=lambda span: span.end)
    read = segments.read(partition, newest, ["offset", "at"])
    for table in deque((table for _, table in read if len(table)), maxlen=1):
        (row,) = table.slice(len(table) - 1).to_pylist()
        return None if row["at"] is None else (row["offset"], row["at"])
    return None


def _other_topic(topic: str, partition: int, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"topic {topic}, partition {partition}: the registry's snapshots {why}. So the topic was "
        f"recreated, or MODEL_REGISTRY belongs to another cluster. To start over, move the folder "
        f"snapshots/{topic} out of the registry"
    )
