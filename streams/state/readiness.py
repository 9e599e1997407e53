"""Readiness: why this worker does not answer from the current state with loaded versions."""

from __future__ import annotations

import time
from collections.abc import Callable

import faust

from registry.error_codes import ReadinessCode
from registry.rollout.recreated_control_topic import FOREIGN_TOPIC
from streams.state.group_entry import Entry
from streams.state.rollout_table import RolloutTable
from streams.state.worker_node import Node
from streams.watch.kafka_health import KafkaHealth
from streams.watch.notices import Reason
from streams.watch.topic_watch import TopicWatch


class ReadinessCheck:
    """Finds out why a worker is not ready."""

    def __init__(
        self,
        app: faust.App,
        node: Node,
        table: RolloutTable,
        entry: Entry,
        watch: TopicWatch,
        kafka: KafkaHealth,
        reading_items: Callable[[], Reason | None],
    ) -> None:
        self._app = app
        self._node = node
        self._table = table
        self._entry = entry
        self._watch = watch
        self._kafka = kafka
        self._reading_items = reading_items

    def reasons(self) -> tuple[Reason, ...]:
        """Return why this worker is not ready; nothing if it is."""
        node = self._node
        apart = self._kafka.reason() or self._apart_reason()
        if apart is not None:
            return (apart,)
        wanted = node.view.state
        reasons = []
        if not node.view.lease.holds(time.time()):
            reasons.append(self._lease_reason())
        if wanted is None:
            reasons.append(
                Reason(
                    ReadinessCode.NO_VERSION,
                    "no version is deployed; run `recstream retrain` or `recstream swap`",
                )
            )
        elif node.acting is not wanted:
            is_loaded = wanted.primary_version in node.residency.ready
            waits_for = "its fresh interactions are being read" if is_loaded else "being loaded"
            why = node.residency.failures.get(wanted.primary_version, waits_for)
            reasons.append(
                Reason(
                    ReadinessCode.VERSION_NOT_READY,
                    f"primary version {wanted.primary_version}: {why}",
                )
            )
        unread = self._reading_items()
        return (*reasons, unread) if unread is not None else tuple(reasons)

    def _apart_reason(self) -> Reason | None:
        """Return why this worker has no part in its fleet now; None if it has."""
        node, table = self._node, self._table
        if self._app.crashed:
            return Reason(
                ReadinessCode.RECOVERING,
                "Faust has lost its connection to Kafka; this worker is restarting",
            )
        if self._watch.is_foreign(node.view.log):
            return Reason(ReadinessCode.FOREIGN_CONTROL_TOPIC, FOREIGN_TOPIC)
        if (why := self._entry.outside) is not None:
            return Reason(ReadinessCode.NOT_IN_GROUP, why)
        if not table.recovered:
            return Reason(ReadinessCode.RECOVERING, "reading the rollout table; try again shortly")
        if not node.recovered_once:
            return Reason(
                ReadinessCode.RECOVERING,
                "waiting for the control owner to say what is deployed; try again shortly",
            )
        return None

    def _lease_reason(self) -> Reason:
        view = self._node.view
        age = view.lease.age_seconds(time.time())
        heard = "never" if age is None else f"{age:.0f} s ago"
        return Reason(
            ReadinessCode.ROLLOUT_LEASE_EXPIRED,
            f"last heard from the rollout table {heard}, the lease is {view.lease.seconds:g} s; "
            "check Kafka, the other workers, and that the clocks agree",
        )
