"""What metrics say of the training runs of this worker. Must not know how a run ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from registry.error_codes import TrainingCode
from registry.wire.training_records.training_messages import TrainingResult
from streams.metrics import Metrics

COUNTED_BY_CODE: Final[Mapping[str | None, str]] = {
    TrainingCode.TOO_FEW_NEW: "skipped",
    TrainingCode.OUT_OF_MEMORY: "out_of_memory",
    TrainingCode.TIMEOUT: "timeout",
}
"""Ends with a ``status`` of their own in ``training_runs_total``, by their code."""


def count_end(metrics: Metrics, result: TrainingResult) -> None:
    """Count the end of a run, and show its times and what taught nothing."""
    metrics.training_runs.labels(COUNTED_BY_CODE.get(result.code, result.status)).inc()
    for stage, seconds in result.stage_seconds.items():
        metrics.training_seconds.labels(stage).set(seconds)
    if result.snapshot is not None and result.code != TrainingCode.TOO_FEW_NEW:
        metrics.training_unusable.clear()
        for reason, count in result.snapshot.unusable.items():
            metrics.training_unusable.labels(reason).set(count)
