"""The node: what one worker serves now, kept up to date between records.

The one place with mutable serving state: the acting rollout state and the resident versions, both
replaced whole. `refresh` is called after every change of either. Must not know Kafka or HTTP.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from registry.rollout.assignment import arms_of
from registry.settings import Settings
from registry.versions.model import Model
from registry.versions.store import store_of
from registry.wire.instants import Instant
from registry.wire.rollout_state import RolloutState
from streams.fresh.freshness import Freshness
from streams.metrics import Metrics
from streams.serving.answering import Answering
from streams.serving.batch_results import Origin
from streams.serving.residency import Residency, versions_to_keep
from streams.serving.routing import RoutingRules
from streams.state.acting_state import next_acting
from streams.state.metric_series import VersionSeries, show_arms
from streams.state.rollout_view import RolloutView


class Node:
    """One worker's serving state.

    Parameters
    ----------
    settings
        The worker's settings.
    worker
        Its name.
    metrics
        Shows what is served.
    freshness
        Sees what users did since; None: nobody looks.
    """

    def __init__(
        self,
        settings: Settings,
        worker: str,
        metrics: Metrics,
        freshness: Freshness | None = None,
    ) -> None:
        self._freshness = freshness
        self.settings = settings
        self.worker = worker
        self.metrics = metrics
        self.store = store_of(settings)
        self.view = RolloutView(settings.lease_seconds)
        self.residency = Residency(self.store, self._on_loaded)
        self.acting: RolloutState | None = None
        self.started_at = Instant.of(time.time())
        self.recovered_once = False
        self.origin = Origin(settings.environment, worker)
        self._series = VersionSeries(metrics)

    @property
    def ready(self) -> Mapping[str, Model]:
        """The versions that may answer: in memory, and their fresh interactions are followed."""
        resident = self.residency.ready
        return resident if self._freshness is None else self._freshness.ready(resident)

    def residency_of(self, version: str) -> str:
        """Return ``ready``, ``catching_up``, ``loading``, ``failed`` or ``absent``."""
        residency = self.residency.residency_of(version)
        return "catching_up" if residency == "ready" and version not in self.ready else residency

    def refresh(self) -> None:
        """Load what the newest state names, and act on it once its primary is ready."""
        wanted = self.view.state
        self.residency.keep(versions_to_keep(wanted, self.acting), time.monotonic())
        if self._freshness is not None:
            self._freshness.refresh(self.residency.ready, time.monotonic())
        acting = next_acting(wanted, self.acting, self.ready)
        if acting is not self.acting:
            self._act_on(acting)

    def note_recovery(self) -> None:
        """The table has been read: answer from now on, once the lease was heard of or is due.

        A worker that starts alone hears its own first renewal a moment after its table recovered;
        answering before would call a state stale that is not. Without a state there is no such
        limit: only the owner knows that there is none, and that none is about to be seeded.
        """
        waited = (datetime.now(UTC) - self.started_at).total_seconds()
        is_overdue = self.view.state is not None and waited > self.settings.lease_seconds
        if self.view.lease.holds(time.time()) or is_overdue:
            self.recovered_once = True

    def answering(self) -> Answering | None:
        """Return what the next batch is answered with; None while it has to wait.

        So it does while the worker starts, and for a moment after a rebalance, until it has read
        what its new users did lately.
        """
        wanted = self.view.state
        if not self.recovered_once:
            return None
        sight = None
        if (freshness := self._freshness) is not None:
            freshness.refresh(self.residency.ready, time.monotonic())
            if freshness.is_waited_for(time.monotonic()):
                return None
            sight = freshness.sight()
        ready, rules = self.ready, None
        if self.acting is not next_acting(wanted, self.acting, ready):
            self.refresh()  # its range has been followed just now
        if wanted is not None and self.acting is not None:
            rules = RoutingRules(self.acting, wanted, ready, self.view.lease.holds(time.time()))
        elif wanted is not None and wanted.primary_version not in self.residency.failures:
            return None
        return Answering(
            origin=self.origin,
            rules=rules,
            models=ready,
            max_request_bytes=self.settings.max_request_bytes,
            threads=self.settings.scoring_threads,
            clock_ms=lambda: time.time() * 1000,
            timer=time.perf_counter,
            sight=sight,
        )

    def _on_loaded(self, seconds: float) -> None:
        self.metrics.load_seconds.observe(seconds)
        self.refresh()

    def _act_on(self, acting: RolloutState | None) -> None:
        before, self.acting = self.acting, acting
        metrics = self.metrics
        if acting is None:
            return
        metrics.rollout_epoch.set(acting.epoch)
        metrics.rollout_info.clear()
        show_arms(metrics, acting)
        metrics.rollout_info.labels(
            acting.environment, acting.strategy, acting.primary_version, acting.canary_version or ""
        ).set(1)
        if before is None or before.primary_version != acting.primary_version:
            metrics.model_switches.labels(
                before.primary_version if before else "", acting.primary_version, "done"
            ).inc()
        self.refresh()  # what only the former state named may go now
        self.update_gauges()

    def update_gauges(self) -> None:
        """Bring the gauges up to date that follow from the serving state."""
        ready = self.residency.ready
        self.metrics.models_resident.set(len(ready))
        acting = self.acting
        shown = arms_of(acting) if acting else {}  # also of a canary that could not be loaded
        self._series.keep([*ready, *shown], time.monotonic())
        self.metrics.show_kernels({version: model.kernel for version, model in ready.items()})
        self.metrics.model_version_info.clear()
        serving = (acting.primary_version, acting.canary_version) if acting else ()
        for version in serving:
            if version is not None and version in ready:
                manifest = ready[version].manifest
                self.metrics.model_version_info.labels(
                    manifest.model_name, version, manifest.git_sha, manifest.data_snapshot.id
                ).set(1)
        age = self.view.lease.age_seconds(time.time())
        self.metrics.rollout_age.set(float("nan") if age is None else age)
