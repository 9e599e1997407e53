"""A run that a timer starts is skipped if there are too few new interactions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from registry.error_codes import TrainingCode
from registry.kafka.topic_reader import ends_of
from registry.kafka.topics import Topic
from registry.settings import Settings
from registry.wire.training_records.gate_results import DataSnapshot
from registry.wire.training_records.training_messages import TrainingResult, TrainingRun


async def skip_if_too_few(
    settings: Settings, interactions: Topic, run: TrainingRun, learned: DataSnapshot | None
) -> TrainingResult | None:
    """Return the end of a run that is not worth its time; None if it is, or nobody can tell.

    Checked here, not in the child: the last run's offsets are in the rollout table, so it
    costs one question to Kafka and no process.
    """
    least = settings.retrain_min_new_interactions
    if learned is None or least == 0:
        return None
    ends = await asyncio.to_thread(ends_of, settings, interactions)
    new = new_records(learned, ends)
    if new >= least:
        return None
    reason = (
        f"skipped: {new} new records since the last run, "
        f"RETRAIN_MIN_NEW_INTERACTIONS={least} are needed"
    )
    return TrainingResult(
        run.run_id, "refused", code=TrainingCode.TOO_FEW_NEW, reason=reason, snapshot=learned
    )


def new_records(known: DataSnapshot, ends: Mapping[int, int]) -> int:
    """Return how many records the topic has got since the snapshot `known`.

    Parameters
    ----------
    known
        Of the last run.
    ends
        The offset after the last record, by partition. A partition that ends before the snapshot
        did was recreated: everything in it is new.
    """
    learned = {int(name): end for name, (_, end) in known.partitions.items()}
    starts = {partition: learned.get(partition, 0) for partition in ends}
    return sum(
        end - starts[partition] if end >= starts[partition] else end
        for partition, end in ends.items()
    )
