"""Training messages: what a training child prints, and the run that the table keeps."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct, field

from registry.wire.instants import InstantField
from registry.wire.origins import Origin, operator
from registry.wire.training_records.data_report import DataWarning
from registry.wire.training_records.gate_results import DataSnapshot, Gate

TrainingStage: TypeAlias = Literal[
    "lock", "snapshot", "fit", "evaluate", "gate", "publish", "announce"
]


class TrainingProgress(Struct, frozen=True, tag="progress", tag_field="kind"):
    """One line of a training child's output: ``done`` of ``total`` units of ``stage``."""

    run_id: str
    stage: TrainingStage
    done: int
    total: int
    message: str | None = None


class TrainingResult(Struct, frozen=True, tag="result", tag_field="kind"):
    """The last line of a training child's output.

    ``published``: ``version`` is in the registry. ``refused``: the gate said no, or there was too
    little new to learn from. ``failed``: the run ended before it had a model; ``code`` and
    ``reason`` say why.
    """

    run_id: str
    status: Literal["published", "refused", "failed"]
    version: str | None = None
    code: str | None = None
    reason: str | None = None
    gate: Gate | None = None
    metrics: dict[str, float] = {}
    snapshot: DataSnapshot | None = None
    stage_seconds: dict[str, float] = {}
    warnings: tuple[DataWarning, ...] = ()


TrainingLine: TypeAlias = TrainingProgress | TrainingResult


class TrainingRun(Struct, frozen=True, omit_defaults=True):
    """The latest training run of a fleet, as every worker knows it from the rollout table.

    Parameters
    ----------
    run_id
        The id of the command that requested it; a second attempt has a new id.
    origin
        Of that command.
    repeats
        The run id of the first attempt, if this is the second; None in the first.
    reason
        Of the command that asked for it.
    """

    run_id: str
    worker: str
    requested_by: str
    started_at: InstantField
    updated_at: InstantField
    stage: TrainingStage = "lock"
    done: int = 0
    total: int = 0
    message: str | None = None
    result: TrainingResult | None = None
    announced: str | None = None
    origin: Origin = field(default_factory=operator)
    repeats: str | None = None
    reason: str | None = None
