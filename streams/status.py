"""What a worker says of itself: the values behind the pages and the probes.

Values only. Must not know where they come from nor how they are shown
(`streams.page`, `streams.http`).
"""

from __future__ import annotations

from msgspec import Struct

from registry.manifest import Manifest
from registry.records import CommandResult, RolloutState, TrainingRun


class Reason(Struct, frozen=True):
    """Why a worker is not ready: a stable code and a sentence that says what to do."""

    code: str
    message: str


class Traffic(Struct, frozen=True):
    """What one version answered on this worker since its start; latencies in milliseconds.

    Latency is record timestamp to confirmed answer; None before the first answer.
    """

    answers: int = 0
    errors: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None


class VersionStatus(Struct, frozen=True):
    """One model version as this worker sees it.

    ``role`` is ``primary``, ``canary``, ``previous`` or empty; ``residency`` is ``ready``,
    ``loading``, ``failed`` or ``absent``.
    """

    version: str
    role: str
    residency: str
    share: float = 0.0
    error: str | None = None
    size_bytes: int | None = None
    manifest: Manifest | None = None
    traffic: Traffic = Traffic()


class PartitionLag(Struct, frozen=True):
    """Records of one request partition that wait to be answered."""

    partition: int
    lag: int


class Status(Struct, frozen=True):
    """One worker at one moment. ``share`` and percentages are 0..100, times ISO 8601 in UTC."""

    worker: str
    environment: str
    program_version: str
    started_at: str
    now: str
    reasons: tuple[Reason, ...]
    rollout: RolloutState | None
    acting_epoch: int | None
    lease_age_seconds: float | None
    lease_seconds: float
    owns_control: bool
    versions: tuple[VersionStatus, ...]
    lag: tuple[PartitionLag, ...]
    requests_per_second: float
    fallbacks_by_reason: dict[str, int]
    dead_letters: int
    training: TrainingRun | None
    commands: tuple[CommandResult, ...]

    @property
    def ready(self) -> bool:
        """Whether this worker answers from the current state with loaded versions."""
        return not self.reasons
