"""The report: gathers a worker's status from its parts. Must not know how it is shown."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version as distribution_version
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from registry.error_codes import ReadinessCode
from registry.errors import RecstreamError
from registry.ids import VersionName
from registry.rollout.assignment import canary_share
from registry.rollout.command_log import COMMANDS_REMEMBERED, FOREIGN_TOPIC, Remembered
from registry.versions.manifest import Manifest
from registry.wire.command_results import CommandResult
from registry.wire.rollout_state import RolloutState
from streams.kafka.slices import SliceConsumer
from streams.page.fleet_overview import overview_of
from streams.page.status import PartitionLag, Status, Traffic, VersionStatus
from streams.parts import Parts
from streams.watch.fleet_notices import fleet_notices
from streams.watch.notices import Notice, Reason

VERSIONS_SHOWN: Final = 12
COMMANDS_SHOWN: Final = 10
LIST_SECONDS: Final = 10.0
"""How old the page's list of the registry may be, where nothing is announced."""

REBALANCE_SECONDS: Final = 180.0
"""A rebalance that takes longer than this is stuck, and only a restart helps."""


class _Listing(NamedTuple):
    """The registry's manifests, what had been told by then, and when, by the monotonic clock."""

    told: tuple[object, ...]
    manifests: tuple[Manifest, ...]
    at: float


class Report:
    """Gathers the status of one worker; keeps the manifests that it has read, they never change."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._manifests: dict[str, Manifest] = {}
        self._listing = _Listing((), (), -math.inf)
        self._rebalancing_since: float | None = None

    def reasons(self) -> tuple[Reason, ...]:
        """Return why this worker is not ready; nothing if it is."""
        node = self._parts.node
        apart = self.kafka_reason() or self._apart_reason()
        if apart is not None:
            return (apart,)
        wanted = node.view.state
        reasons = []
        if not node.view.lease_holds(time.time()):
            reasons.append(self._lease_reason())
        if wanted is None:
            reasons.append(
                Reason(
                    ReadinessCode.NO_VERSION,
                    "no version is put out yet; `recstream retrain` or `swap`",
                )
            )
        elif node.acting is not wanted:
            why = node.residency.failures.get(wanted.primary_version, "being loaded")
            reasons.append(
                Reason(
                    ReadinessCode.VERSION_NOT_READY,
                    f"primary version {wanted.primary_version}: {why}",
                )
            )
        return tuple(reasons)

    def _apart_reason(self) -> Reason | None:
        """Return why this worker has no part in its fleet now; None if it has."""
        node, table = self._parts.node, self._parts.table
        if self._parts.app.crashed:
            return Reason(
                ReadinessCode.RECOVERING, "Faust has lost Kafka; this worker is beginning again"
            )
        if self._parts.watch.is_foreign(node.view.log):
            return Reason(ReadinessCode.FOREIGN_CONTROL_TOPIC, FOREIGN_TOPIC)
        if (why := self._parts.entry.outside) is not None:
            return Reason(ReadinessCode.NOT_IN_GROUP, why)
        if not node.recovered_once or not table.recovered:
            return Reason(ReadinessCode.RECOVERING, "reading the rollout table; wait")
        return None

    def kafka_reason(self) -> Reason | None:
        """Return what is wrong with Kafka itself; None if nothing is."""
        missing = self._parts.watch.missing()  # a broker that confirms nothing has shown this
        refused = self._parts.access.reason()  # the cause of a silence says more than the silence
        return missing or refused or self._parts.contact.reason(time.monotonic(), time.time())

    def notices(self) -> tuple[Notice, ...]:
        """Return what an operator should act on, whether or not the worker is ready."""
        parts, now = self._parts, time.time()
        found = [
            parts.transactions.notice(time.monotonic()),
            parts.losses.notice(),
            parts.publishing.notice(),
        ]
        partitions = parts.watch.request_partitions or parts.settings.partitions
        return (
            *(one for one in found if one is not None),
            *parts.watch.notices(),
            *fleet_notices(parts.node.view.fleet, now, partitions),
        )

    def partitions(self) -> int | None:
        """Return how many request partitions are assigned; None before there is a consumer."""
        consumer = self._parts.app.consumer
        if not isinstance(consumer, SliceConsumer) or not consumer.started:
            return None
        return len(consumer.progress(self._parts.topics.requests.name))

    def is_alive(self) -> bool:
        """Tell whether a restart would not help: no rebalance is stuck, Kafka answers or may yet.

        A rebalance cannot end while Kafka is away, so its time counts from Kafka's return.
        """
        now, contact = time.monotonic(), self._parts.contact
        if not self._parts.app.rebalancing or self.kafka_reason() is not None:
            self._rebalancing_since = None
        elif self._rebalancing_since is None:
            self._rebalancing_since = now
        since = self._rebalancing_since
        stuck = since is not None and now - since > REBALANCE_SECONDS
        is_lost = contact.is_lost(now) and self._parts.watch.missing() is None
        return not stuck and not is_lost

    def manifests(self) -> tuple[Manifest, ...]:
        """Return the registry's manifests that can be read, newest first. Reads files."""
        store = self._parts.node.store
        found: dict[str, Manifest] = {}
        for version in reversed(store.versions()):
            try:
                found[version] = self._manifests.get(version) or store.manifest(version)
            except RecstreamError:
                continue  # `registry verify` says why; a page must not fail for it
        self._manifests = found
        return tuple(found.values())

    def _listed(self) -> tuple[Manifest, ...]:
        """Return the manifests, listed anew after whatever may have brought one, and at times."""
        view = self._parts.node.view
        run = view.training.run_id if view.training and view.training.result else ""
        told = (view.log.last_offset, run)
        now = time.monotonic()
        if told != self._listing.told or now - self._listing.at > LIST_SECONDS:
            self._listing = _Listing(told, self.manifests(), now)
        return self._listing.manifests

    def status(self) -> Status:
        """Return the whole status. Reads files: not on the event loop."""
        parts = self._parts
        node, now = parts.node, time.time()
        view, totals = node.view, _totals(parts)
        state = view.state
        overview = overview_of(state, view.fleet, now)
        dead_letters: Counter[str] = Counter()
        for (_, why), count in totals.get("dead_letters_total", {}).items():
            dead_letters[why] += int(count)
        return Status(
            worker=parts.worker,
            environment=parts.settings.environment,
            program_version=distribution_version("recstream"),
            started_at=node.started_at.isoformat(timespec="seconds"),
            now=datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
            reasons=self.reasons(),
            notices=self.notices(),
            rollout=state,
            acting_epoch=node.acting.epoch if node.acting else None,
            lease_age_seconds=view.lease_age_seconds(now),
            lease_seconds=parts.settings.lease_seconds,
            owns_control=parts.table.is_owner,
            versions=self._versions(state, totals),
            lag=self.lag(),
            requests_per_second=parts.fleet.requests_per_second,
            fallbacks_by_reason={
                labels[0]: int(count)
                for labels, count in totals.get("recommend_fallbacks_total", {}).items()
            },
            dead_letters=sum(dead_letters.values()),
            dead_letters_by_reason=dict(dead_letters),
            training=view.training,
            commands=latest_commands(view.log.remembered, view.states),
            fleet=overview.workers,
            arms=overview.arms,
            shadow=overview.shadow,
            look=parts.ramp.seen(now),
            split=overview.split,
            token_needed=bool(parts.settings.api_token.get_secret_value()),
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

    def _lease_reason(self) -> Reason:
        view = self._parts.node.view
        age = view.lease_age_seconds(time.time())
        heard = "never" if age is None else f"{age:.0f} s ago"
        return Reason(
            ReadinessCode.ROLLOUT_LEASE_EXPIRED,
            f"last heard from the rollout table {heard}, the lease is {view.lease_seconds:g} s; "
            "check Kafka, the other workers, and that the clocks agree",
        )

    def _versions(self, state: RolloutState | None, totals: Totals) -> tuple[VersionStatus, ...]:
        ready = self._parts.node.residency.ready
        known = {manifest.version: manifest for manifest in self._listed()}
        known |= {version: model.manifest for version, model in ready.items()}
        roles = _roles(state)
        names = sorted(known | dict.fromkeys(roles), key=VersionName.parse, reverse=True)
        shown = [name for name in names if name in roles]
        shown += [name for name in names if name not in roles][: VERSIONS_SHOWN - len(shown)]
        residency = self._parts.node.residency
        return tuple(
            VersionStatus(
                version=name,
                role=roles.get(name, ""),
                residency=residency.residency_of(name),
                share=_share(name, state),
                error=residency.failures.get(name),
                size_bytes=ready[name].size_bytes if name in ready else None,
                manifest=known.get(name),
                traffic=self._traffic(name, totals),
            )
            for name in shown
        )

    def _traffic(self, version: str, totals: Totals) -> Traffic:
        latency = self._parts.metrics.latency
        counts = {
            labels: int(count)
            for labels, count in totals.get("recommend_requests_total", {}).items()
            if labels[0] == version
        }
        return Traffic(
            answers=sum(counts.values()),
            errors=sum(count for labels, count in counts.items() if labels[2] == "error"),
            p50_ms=_milliseconds(latency.quantile(version, 0.5)),
            p99_ms=_milliseconds(latency.quantile(version, 0.99)),
        )


Totals: TypeAlias = Mapping[str, Mapping[tuple[str, ...], float]]
"""The value of each counter by name and labels."""


def latest_commands(
    remembered: Sequence[Remembered], states: Mapping[int, RolloutState]
) -> tuple[CommandResult, ...]:
    """Return the latest results, newest first, with the states before and after that are known.

    The log leaves states out to keep it small; this worker remembers those that it has seen. The
    state before a command is the one that the command before it made, or none is shown.
    """
    found: list[CommandResult] = []
    before: RolloutState | None = None
    before_is_known = len(remembered) < COMMANDS_REMEMBERED  # the first command is among them
    for one in remembered:
        result = one.result
        if result.status == "applied" and result.epoch == one.offset:  # it made a new state
            after = states.get(one.offset)
            if before_is_known:
                result = replace(result, before=before, after=after)
            before, before_is_known = after, after is not None
        found.append(result)
    return tuple(reversed(found[-COMMANDS_SHOWN:]))


def _totals(parts: Parts) -> Totals:
    totals: dict[str, dict[tuple[str, ...], float]] = {}
    for metric in parts.metrics.registry.collect():
        for sample in metric.samples:
            totals.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return totals


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
    if version == state.primary_version:
        return 100.0 - canary_share(state)
    return canary_share(state) if version == state.canary_version else 0.0


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
