"""The rollout table: a Faust GlobalTable whose changelog feeds the rollout view of every worker.

Keys of plain JSON: ``log`` (state and latest commands) and ``training`` (the latest run); nothing
periodic, because a starting worker reads all of it. Only the control agent writes ``log``. Nobody
reads the table; all read the view, which never reverts. Knows the table's encoding, not the
rules.

The previous release kept the lease here (``lease``, every few seconds) and the fleet (``fleet:…``,
a row for each worker). As long as its workers are live, the owner writes the lease here as well;
one of them writes their rows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import faust
import msgspec
from faust.exceptions import ConsumerNotStarted
from faust.types import TP, EventT

from registry.guardrails.predecessor_workers import predecessors
from registry.rollout.command_log import EMPTY_LOG, ControlLog
from registry.wire.codec import from_document
from registry.wire.instants import write_instant
from registry.wire.training_records.training_messages import TrainingRun
from streams.kafka.faust_workarounds import ROLLOUT_TABLE_OPTIONS
from streams.state.control_log_rewrites import Rewrites
from streams.state.rollout_view import RolloutView

logger = logging.getLogger(__name__)

LEASE_RENEWALS: Final = 10
"""Renewals within one lease, for workers of the previous release."""

RENEWALS_A_LOG: Final = 4
"""Renewals until the log is written again, for them: they do not say what they miss."""

FLEET_KEY: Final = "fleet:"


class PredecessorLease(msgspec.Struct, frozen=True):
    """When an owner of the previous release last wrote, by its clock, and what log it knew."""

    at: float
    last_offset: int


class RolloutTable:
    """The table, its changelog's way into `view`, and who may write.

    Parameters
    ----------
    app
        The Faust app that owns the table.
    control_topic
        Its only partition's owner is the writer.
    view
        Is offered every change, from the changelog and from local writes.
    on_change
        Called after the view has moved.
    options
        Of the GlobalTable; the tests' negative control passes Faust's defaults.
    """

    def __init__(
        self,
        app: faust.App,
        control_topic: str,
        view: RolloutView,
        on_change: Callable[[], None],
        options: dict[str, Any] | None = None,
    ) -> None:
        self._app = app
        self._control = TP(control_topic, 0)
        self._view = view
        self._on_change = on_change
        self._renewals = 0
        self._echoed = EMPTY_LOG.last_offset
        self._rewrites = Rewrites(time.monotonic())
        self._table = app.GlobalTable(
            "rollout",
            on_changelog_event=self._on_changelog_event,
            **(ROLLOUT_TABLE_OPTIONS if options is None else options),
        )

    @property
    def changelog(self) -> str:
        """The name of its changelog topic."""
        name: str = self._table.changelog_topic.get_topic_name()
        return name

    @property
    def recovered(self) -> bool:
        """Whether the changelog has been read up to where it ended at the last rebalance."""
        return bool(self._app.tables.actives_ready) and not self._app.rebalancing

    @property
    def is_owner(self) -> bool:
        """Whether this worker has the control partition; a hint, a paused owner may not know."""
        try:
            return self._control in self._app.consumer.assignment()
        except ConsumerNotStarted:
            return False

    def write_log(self, log: ControlLog) -> None:
        """Write the log, and show it to this worker at once."""
        self._table["log"] = _plain(log)
        self._rewrites.note_new(time.monotonic())
        if self._view.offer_log(log):
            self._on_change()

    def write_training(self, run: TrainingRun) -> None:
        """Write the latest training run."""
        self._table["training"] = _plain(run)
        self._view.offer_training(run)

    def mend(self, now: float) -> None:
        """Write the log again if a worker misses it, or if the changelog ends with an older one.

        A rebalance may have taken a change away from a worker; a paused former owner may have
        written an older log over the newest. For the owner only; call it often. One that has just
        woken up may be replaced without knowing it, and what it heard last is old. So it writes
        nothing before it has heard what Kafka has, and nothing while anybody has a newer log.

        Parameters
        ----------
        now
            In seconds since the epoch.
        """
        log = self._view.log
        if not self._view.knows_fleet(now) or self._view.lease.heard_offset > log.last_offset:
            return
        who = self._rewrites.who_misses(
            self._view.fleet, log.last_offset, self._echoed, time.monotonic()
        )
        if who is not None:
            logger.warning("%s lacks the log of offset %d: writing it again", who, log.last_offset)
            self._write_again(log)

    def serve_predecessors(self, now: float) -> None:
        """Write `now` and the log as the previous release reads it; remove what it left, once gone.

        For the owner only, every tenth of a lease, once the fleet is known.
        """
        if not predecessors(self._view.fleet, now):
            for key in [key for key in self._table if str(key).startswith(FLEET_KEY)]:
                del self._table[key]
            return
        log = self._view.log
        self._renewals += 1
        if self._renewals % RENEWALS_A_LOG == 0 and log.last_offset >= 0:
            self._write_again(log)
        self._table["lease"] = _plain(PredecessorLease(now, log.last_offset))

    def _write_again(self, log: ControlLog) -> None:
        self._table["log"] = _plain(log)
        self._rewrites.note_again(time.monotonic())

    def offer(self, key: bytes, value: bytes | None) -> None:
        """Take a record of the changelog that was read before this worker joined its group."""
        if value is None:
            return
        try:
            self._offer(msgspec.json.decode(key), msgspec.json.decode(value))
        except msgspec.DecodeError as error:
            logger.error("rollout changelog: %r does not decode: %s", key, error)

    async def _on_changelog_event(self, event: EventT[Any]) -> None:
        try:
            self._offer(event.key, event.value)
        except msgspec.ValidationError as error:  # Faust would swallow it: readiness must show it
            logger.error("rollout changelog: %r does not decode: %s", event.key, error)
            return
        self._on_change()

    def _offer(self, key: Any, value: Any) -> None:
        if key == "log":
            log = from_document(ControlLog, value)
            self._echoed = log.last_offset
            self._view.offer_log(log)
        elif key == "lease":
            lease = msgspec.convert(value, PredecessorLease)
            self._view.renew_lease(lease.at, lease.last_offset, time.time())
        elif key == "training":
            self._view.offer_training(from_document(TrainingRun, value))


def _plain(value: msgspec.Struct) -> Any:
    """Return `value` as Faust's JSON serializer takes it; keys of objects are text there."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=write_instant)
