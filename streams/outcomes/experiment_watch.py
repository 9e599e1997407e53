"""Watching an experiment: what heartbeats say of it now, how it came, and its metrics.

An edge without Kafka: it looks at the view. Must not know statistics, nor how it is shown.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from registry.outcomes.arm_comparison import Comparison
from registry.outcomes.conclusion import Arm, Conclusion
from registry.settings import Settings
from streams.metrics import Metrics
from streams.outcomes.compared_arms import compared, conclusion_of
from streams.outcomes.evidence_track import EvidenceTrack, TrackedLook
from streams.outcomes.outcome_follower import OutcomeFollower
from streams.state.rollout_view import RolloutView

LOOK_SECONDS: Final = 2.0
"""Between two looks: a comparison takes some milliseconds, and heartbeats come every second."""


class WatchedExperiment(NamedTuple):
    """An experiment as this worker knows it.

    ``is_on`` says whether outcomes are joined at all (``RECSTREAM_OUTCOMES``); ``looks`` go back to
    when this worker began to watch; ``trouble`` is why it joins nothing now; ``open_windows`` are
    those of its own partitions.
    """

    is_on: bool
    conclusion: Conclusion | None = None
    looks: tuple[TrackedLook, ...] = ()
    trouble: str | None = None
    open_windows: int = 0


class ExperimentWatch:
    """Looks at the experiment of the current state; see the module."""

    def __init__(
        self, settings: Settings, view: RolloutView, follower: OutcomeFollower, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._view = view
        self._follower = follower
        self._metrics = metrics
        self._track = EvidenceTrack()
        self._looked_at = -math.inf
        self._epoch: int | None = None
        self._found: Conclusion | None = None

    def conclusion(self) -> Conclusion | None:
        """Return what may be concluded, as of the last look; for any thread."""
        return self._found

    def status(self) -> WatchedExperiment | None:
        """Return the experiment; None if the current state compares nothing. For any thread."""
        if compared(self._view.state) is None:
            return None
        follower = self._follower
        return WatchedExperiment(
            self._settings.outcomes == "on",
            self._found,
            self._track.looks,
            follower.trouble,
            follower.progress.open_windows,
        )

    def show(self, now: float) -> None:
        """Look again if it is time, and bring the metrics up to date; `now` since 1970."""
        state = self._view.state
        epoch = None if state is None else state.epoch
        if self._settings.outcomes == "off":
            return
        if epoch == self._epoch and 0 <= now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at, self._epoch = now, epoch
        found = conclusion_of(state, self._view.fleet, now, self._settings.attribution_seconds)
        if found is not None and epoch is not None:
            self._track.note(epoch, now, found)
        self._found = found
        self._gauge(found, now)

    def _gauge(self, found: Conclusion | None, now: float) -> None:
        metrics, progress = self._metrics, self._follower.progress
        for gauge in (
            metrics.experiment_users, metrics.experiment_difference, metrics.experiment_verdict,
        ):  # fmt: skip
            gauge.clear()
        metrics.outcome_open_windows.set(progress.open_windows)
        metrics.outcome_delay.set(0.0 if progress.clock is None else now - progress.clock / 1000)
        metrics.outcome_left_out.labels("too_many_users").set(progress.left_out)
        metrics.outcome_left_out.labels("unusable").set(progress.unusable)
        if found is None:
            return
        metrics.experiment_verdict.labels(found.verdict.replace(" ", "_")).set(1)
        for arm in (found.primary, found.canary):
            self._gauge_arm(arm)
        for shown in (found.conversion, found.outcomes_per_exposure):
            self._gauge_difference(shown)

    def _gauge_arm(self, arm: Arm) -> None:
        self._metrics.experiment_users.labels(arm.variant).set(arm.sums.users)

    def _gauge_difference(self, shown: Comparison) -> None:
        for bound, figure in (
            ("lower", shown.lower), ("estimate", shown.difference), ("upper", shown.upper),
        ):  # fmt: skip
            if figure is not None:
                self._metrics.experiment_difference.labels(shown.metric, bound).set(figure)
