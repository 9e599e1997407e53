"""What a worker reports about itself: the values behind the pages and the probes.

Values only. Must not know where they come from nor how they are shown
(`streams.page.render`, `streams.http.server`).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from registry.interleaving.preference import Preference
from registry.rollout.ramp_decision import Look
from registry.versions.manifest import Manifest
from registry.wire.command_results import CommandResult
from registry.wire.heartbeats import Heartbeat
from registry.wire.instants import Instant
from registry.wire.ramp_values import Finding
from registry.wire.rollout_state import RolloutState
from registry.wire.training_records.training_messages import TrainingRun
from streams.fresh.fresh_reading import FreshStatus
from streams.outcomes.experiment_watch import WatchedExperiment
from streams.watch.notices import Notice, Reason

Presence: TypeAlias = Literal["live", "silent", "stopped"]


class VersionTraffic(Struct, frozen=True):
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
    ``catching_up`` (in memory; its fresh interactions are being read), ``loading``, ``failed`` or
    ``absent``. ``kernel`` says how one that is ready is scored.
    """

    version: str
    role: str
    residency: str
    share: float = 0.0
    error: str | None = None
    size_bytes: int | None = None
    kernel: str | None = None
    manifest: Manifest | None = None
    traffic: VersionTraffic = VersionTraffic()


class PartitionLag(Struct, frozen=True):
    """Records of one request partition that wait to be answered."""

    partition: int
    lag: int


class FleetWorker(Struct, frozen=True):
    """One row of the fleet: the latest heartbeat, and how old it is, in seconds.

    Its time is the broker's: ``age_seconds`` is None where that clock is ahead of this worker's.
    """

    heartbeat: Heartbeat
    presence: Presence
    age_seconds: float | None


class ArmTraffic(Struct, frozen=True):
    """What the users assigned to one variant got, fleet-wide, under the current state.

    Latencies are in milliseconds, from the request's
    timestamp to its answer; ``scoring_ms`` is the median of scoring one request. None without data.
    """

    variant: str
    version: str
    requests: int
    errors: int
    fallbacks: int
    empty: int
    users: int
    p50_ms: float | None = None
    p99_ms: float | None = None
    scoring_ms: float | None = None


class ShadowSummary(Struct, frozen=True):
    """The fleet's shadow comparisons under the current state; means and medians, None without any.

    ``overlap`` and ``rank_biased_overlap`` are 0..1, times the scoring of one request.
    """

    compared: int
    dropped: int
    failed: int
    overlap: float | None = None
    rank_biased_overlap: float | None = None
    score_shift: float | None = None
    primary_ms: float | None = None
    canary_ms: float | None = None


class ItemsFollowed(Struct, frozen=True):
    """What a worker knows of the items topic.

    ``known`` items have a record, ``withdrawn`` ones are in no answer; ``lag`` records have not
    been read, the next one is at ``offset``.
    """

    known: int
    withdrawn: int
    offset: int
    lag: int


class Status(Struct, frozen=True):
    """One worker at one moment. ``share`` and percentages are 0..100.

    ``fleet``, ``arms``, ``shadow``, ``look`` and ``split`` are of all workers together, the rest
    is this worker's own; ``split`` is the sample-ratio check of a canary or an A/B test;
    ``experiment`` is what their users' outcomes say, ``interleaving`` which version users prefer.
    """

    worker: str
    environment: str
    program_version: str
    started_at: Instant
    now: Instant
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
    fleet: tuple[FleetWorker, ...] = ()
    arms: tuple[ArmTraffic, ...] = ()
    shadow: ShadowSummary | None = None
    look: Look | None = None
    dead_letters_by_reason: dict[str, int] = {}
    split: Finding | None = None
    token_needed: bool = False
    notices: tuple[Notice, ...] = ()
    items: ItemsFollowed | None = None
    fresh: FreshStatus | None = None
    experiment: WatchedExperiment | None = None
    interleaving: Preference | None = None

    @property
    def ready(self) -> bool:
        """Whether this worker answers from the current state with loaded versions."""
        return not self.reasons
