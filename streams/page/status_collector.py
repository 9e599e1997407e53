"""Collects a worker's status for its pages. Must not know how it is shown."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as distribution_version
from typing import Final, TypeAlias

from msgspec.structs import replace

from registry.ids import VersionName
from registry.rollout.assignment import canary_share
from registry.rollout.command_log import COMMANDS_REMEMBERED, Remembered
from registry.rollout.ramp_decision import Look
from registry.settings import Settings
from registry.wire.command_results import CommandResult
from registry.wire.instants import Instant
from registry.wire.rollout_state import RolloutState
from streams.fresh.fresh_reading import FreshStatus
from streams.kafka.request_progress import RequestProgress
from streams.metrics import Metrics
from streams.outcomes.compared_arms import preference_of
from streams.outcomes.experiment_watch import WatchedExperiment
from streams.page.fleet_overview import overview_of
from streams.page.registry_listing import RegistryListing
from streams.page.status import ItemsFollowed, PartitionLag, Status, VersionStatus, VersionTraffic
from streams.state.readiness import ReadinessCheck
from streams.state.rollout_table import RolloutTable
from streams.state.worker_node import Node
from streams.watch.notice_board import NoticeBoard

VERSIONS_SHOWN: Final = 12
COMMANDS_SHOWN: Final = 10


class StatusCollector:
    """Collects the status of one worker.

    Parameters
    ----------
    settings, node, table, metrics
        The worker.
    readiness, notices, progress, listing
        What its checks have found.
    requests_per_second
        Returns its present rate of answers.
    look
        Returns what the guardrails say of a ramp at a time, in seconds since the epoch.
    experiment
        Returns what is known of the arms' outcomes.
    items
        Returns what is known of the items topic.
    fresh
        Returns what is followed of the interactions.
    """

    def __init__(
        self,
        settings: Settings,
        node: Node,
        table: RolloutTable,
        metrics: Metrics,
        *,
        readiness: ReadinessCheck,
        notices: NoticeBoard,
        progress: RequestProgress,
        listing: RegistryListing,
        requests_per_second: Callable[[], float],
        look: Callable[[float], Look | None],
        experiment: Callable[[], WatchedExperiment | None],
        items: Callable[[], ItemsFollowed],
        fresh: Callable[[], FreshStatus | None] = lambda: None,
    ) -> None:
        self._fresh = fresh
        self._settings = settings
        self._node = node
        self._table = table
        self._metrics = metrics
        self._readiness = readiness
        self._notices = notices
        self._progress = progress
        self._listing = listing
        self._requests_per_second = requests_per_second
        self._look = look
        self._experiment = experiment
        self._items = items

    def collect(self) -> Status:
        """Return the whole status. Reads files: not on the event loop."""
        node, now = self._node, time.time()
        view, totals = node.view, _totals(self._metrics)
        state = view.state
        overview = overview_of(state, view.fleet, now)
        dead_letters: Counter[str] = Counter()
        for (_, why), count in totals.get("dead_letters_total", {}).items():
            dead_letters[why] += int(count)
        return Status(
            worker=node.worker,
            environment=self._settings.environment,
            program_version=distribution_version("recstream"),
            started_at=Instant.of(node.started_at.timestamp()),
            now=Instant.of(now),
            reasons=self._readiness.reasons(),
            notices=self._notices.notices(),
            rollout=state,
            acting_epoch=node.acting.epoch if node.acting else None,
            lease_age_seconds=view.lease.age_seconds(now),
            lease_seconds=self._settings.lease_seconds,
            owns_control=self._table.is_owner,
            versions=self._versions(state, totals),
            lag=tuple(PartitionLag(*lag) for lag in sorted(self._progress.lags().items())),
            requests_per_second=self._requests_per_second(),
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
            look=self._look(now),
            experiment=self._experiment(),
            interleaving=preference_of(view.state, view.fleet)
            if self._settings.outcomes == "on"
            else None,
            split=overview.split,
            items=self._items(),
            fresh=self._fresh(),
            token_needed=bool(self._settings.api_token.get_secret_value()),
        )

    def _versions(self, state: RolloutState | None, totals: Totals) -> tuple[VersionStatus, ...]:
        ready = self._node.residency.ready
        known = {manifest.version: manifest for manifest in self._listing.latest()}
        known |= {version: model.manifest for version, model in ready.items()}
        roles = _roles(state)
        names = sorted(known | dict.fromkeys(roles), key=VersionName.parse, reverse=True)
        shown = [name for name in names if name in roles]
        shown += [name for name in names if name not in roles][: VERSIONS_SHOWN - len(shown)]
        residency = self._node.residency
        return tuple(
            VersionStatus(
                version=name,
                role=roles.get(name, ""),
                residency=self._node.residency_of(name),
                share=_share(name, state),
                error=residency.failures.get(name),
                size_bytes=ready[name].size_bytes if name in ready else None,
                kernel=str(ready[name].kernel) if name in ready else None,
                manifest=known.get(name),
                traffic=self._traffic(name, totals),
            )
            for name in shown
        )

    def _traffic(self, version: str, totals: Totals) -> VersionTraffic:
        latency = self._metrics.latency
        counts = {
            labels: int(count)
            for labels, count in totals.get("recommend_requests_total", {}).items()
            if labels[0] == version
        }
        return VersionTraffic(
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
    for command in remembered:
        result = command.result
        if result.status == "applied" and result.epoch == command.offset:  # it made a new state
            after = states.get(command.offset)
            if before_is_known:
                result = replace(result, before=before, after=after)
            before, before_is_known = after, after is not None
        found.append(result)
    return tuple(reversed(found[-COMMANDS_SHOWN:]))


def _totals(metrics: Metrics) -> Totals:
    totals: dict[str, dict[tuple[str, ...], float]] = {}
    for metric in metrics.registry.collect():
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
