"""The report: gathers a worker's status from its parts. Must not know how it is shown."""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime
from importlib.metadata import version as distribution_version
from typing import Final

from registry.errors import RecstreamError
from registry.ids import VersionName
from registry.manifest import Manifest
from registry.records import RolloutState
from streams.app import Parts
from streams.slices import SliceConsumer
from streams.status import PartitionLag, Reason, Status, Traffic, VersionStatus

VERSIONS_SHOWN: Final = 12
COMMANDS_SHOWN: Final = 20
RATE_SECONDS: Final = 10.0
REBALANCE_SECONDS: Final = 180.0
"""A rebalance that takes longer than this is stuck, and only a restart helps."""


class Report:
    """Gathers the status of one worker; keeps the manifests that it has read, they never change."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._manifests: dict[str, Manifest] = {}
        self._seen: deque[tuple[float, float]] = deque([(time.monotonic(), 0.0)])
        self._rebalancing_since: float | None = None

    def reasons(self) -> tuple[Reason, ...]:
        """Return why this worker is not ready; nothing if it is."""
        node, table = self._parts.node, self._parts.table
        if not node.recovered_once or not table.recovered:
            return (Reason("recovering", "reading the rollout table; wait"),)
        wanted = node.view.state
        reasons = []
        if not node.view.lease_holds(time.time()):
            reasons.append(self._lease_reason())
        if wanted is None:
            reasons.append(
                Reason("no_version", "no version is put out yet; `recstream retrain` or `swap`")
            )
        elif node.acting is not wanted:
            why = node.residency.failures.get(wanted.primary_version, "being loaded")
            reasons.append(
                Reason("version_not_ready", f"primary version {wanted.primary_version}: {why}")
            )
        return tuple(reasons)

    def is_alive(self) -> bool:
        """Tell whether a restart would not help: no rebalance is stuck, Faust has not crashed."""
        app = self._parts.app
        if not app.rebalancing:
            self._rebalancing_since = None
        elif self._rebalancing_since is None:
            self._rebalancing_since = time.monotonic()
        since = self._rebalancing_since
        stuck = since is not None and time.monotonic() - since > REBALANCE_SECONDS
        return not stuck and not app.crashed

    def manifests(self) -> tuple[Manifest, ...]:
        """Return the registry's manifests that can be read, newest first. Reads files."""
        store = self._parts.node.store
        found = []
        for version in reversed(store.versions()):
            try:
                if version not in self._manifests:
                    self._manifests[version] = store.manifest(version)
            except RecstreamError:
                continue  # `registry verify` says why; a page must not fail for it
            found.append(self._manifests[version])
        return tuple(found)

    def status(self) -> Status:
        """Return the whole status. Reads files: not on the event loop."""
        parts = self._parts
        node, now = parts.node, time.time()
        return Status(
            worker=parts.worker,
            environment=parts.settings.environment,
            program_version=distribution_version("recstream"),
            started_at=node.started_at.isoformat(timespec="seconds"),
            now=datetime.now(UTC).isoformat(timespec="seconds"),
            reasons=self.reasons(),
            rollout=node.view.state,
            acting_epoch=node.acting.epoch if node.acting else None,
            lease_age_seconds=node.view.lease_age_seconds(now),
            lease_seconds=parts.settings.lease_seconds,
            owns_control=parts.table.is_owner,
            versions=self._versions(),
            lag=self.lag(),
            requests_per_second=self._requests_per_second(),
            fallbacks_by_reason={
                labels[0]: int(count)
                for labels, count in _totals(parts, "recommend_fallbacks_total").items()
            },
            dead_letters=int(sum(_totals(parts, "dead_letters_total").values())),
            training=node.view.training,
            commands=tuple(
                one.result for one in reversed(node.view.log.remembered[-COMMANDS_SHOWN:])
            ),
        )

    def lag(self) -> tuple[PartitionLag, ...]:
        """Return the lag of each assigned request partition."""
        consumer = self._parts.app.consumer
        if not isinstance(consumer, SliceConsumer):
            return ()
        lags = consumer.lags(self._parts.topics.requests.name)
        return tuple(PartitionLag(partition, lag) for partition, lag in sorted(lags.items()))

    def requests_in_flight(self) -> int:
        """Return how many requests are read and not yet acknowledged."""
        consumer = self._parts.app.consumer
        return consumer.unacknowledged_records() if isinstance(consumer, SliceConsumer) else 0

    def _requests_per_second(self) -> float:
        """Return the mean over the last seconds, as far as somebody has looked meanwhile."""
        now = time.monotonic()
        total = sum(_totals(self._parts, "recommend_requests_total").values())
        while len(self._seen) > 1 and now - self._seen[1][0] > RATE_SECONDS:
            self._seen.popleft()
        then, before = self._seen[0]
        self._seen.append((now, total))
        return (total - before) / max(now - then, 1e-3)

    def _lease_reason(self) -> Reason:
        view = self._parts.node.view
        age = view.lease_age_seconds(time.time())
        heard = "never" if age is None else f"{age:.0f} s ago"
        return Reason(
            "rollout_lease_expired",
            f"last heard from the rollout table {heard}, the lease is {view.lease_seconds:g} s; "
            "check Kafka, the other workers, and that the clocks agree",
        )

    def _versions(self) -> tuple[VersionStatus, ...]:
        node = self._parts.node
        known = {manifest.version: manifest for manifest in self.manifests()}
        known |= {version: model.manifest for version, model in node.residency.ready.items()}
        named = _roles(node.view.state)
        names = sorted(known | dict.fromkeys(named), key=VersionName.parse, reverse=True)
        shown = [name for name in names if name in named]
        shown += [name for name in names if name not in named][: VERSIONS_SHOWN - len(shown)]
        return tuple(self._version(name, known.get(name)) for name in shown)

    def _version(self, version: str, manifest: Manifest | None) -> VersionStatus:
        node = self._parts.node
        model = node.residency.ready.get(version)
        return VersionStatus(
            version=version,
            role=_roles(node.view.state).get(version, ""),
            residency=node.residency.residency_of(version),
            share=_share(version, node.view.state),
            error=node.residency.failures.get(version),
            size_bytes=model.size_bytes if model else None,
            manifest=manifest,
            traffic=self._traffic(version),
        )

    def _traffic(self, version: str) -> Traffic:
        metrics = self._parts.metrics
        counts = {
            labels: int(count)
            for labels, count in _totals(self._parts, "recommend_requests_total").items()
            if labels[0] == version
        }
        return Traffic(
            answers=sum(counts.values()),
            errors=sum(count for labels, count in counts.items() if labels[2] == "error"),
            p50_ms=_milliseconds(metrics.latency.quantile(version, 0.5)),
            p99_ms=_milliseconds(metrics.latency.quantile(version, 0.99)),
        )


def _totals(parts: Parts, name: str) -> dict[tuple[str, ...], float]:
    return {
        tuple(sample.labels.values()): sample.value
        for metric in parts.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == name
    }


def _roles(state: RolloutState | None) -> dict[str, str]:
    if state is None:
        return {}
    roles = dict.fromkeys(state.previous_versions[:1], "previous")
    if state.canary_version is not None:
        roles[state.canary_version] = "canary"
    roles[state.primary_version] = "primary"
    return roles


def _share(version: str, state: RolloutState | None) -> float:
    """Return the percentage of users that the rules give to `version`."""
    if state is None:
        return 0.0
    canary = state.canary_percentage if state.strategy == "canary" else 0.0
    if version == state.primary_version:
        return 100.0 - canary
    return canary if version == state.canary_version else 0.0


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
