"""The rollout table: a Faust GlobalTable whose changelog feeds the rollout view of every worker.

Keys of plain JSON: ``log`` (state and latest commands), ``lease`` (the owner's time, every few
seconds), ``training`` (the latest run) and ``fleet:…`` (a worker's latest heartbeat). Only the
control agent writes ``log``. Nobody reads the table; all read the view, which never goes back.
Knows the table's encoding, not the rules.
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

from registry.control import ControlLog
from registry.fleet import Heartbeat
from registry.records import TrainingRun
from streams.view import RolloutView
from streams.workarounds import ROLLOUT_TABLE_OPTIONS

logger = logging.getLogger(__name__)

LEASE_RENEWALS: Final = 10
"""Renewals within one lease: so many may be lost in a row before a worker is out of touch."""


RENEWALS_A_LOG: Final = 4
"""Renewals until the log is written again. A missed change is mended before the lease runs out."""


FLEET_KEY: Final = "fleet:"


class Lease(msgspec.Struct, frozen=True):
    """When the owner last wrote, by its clock, and up to which command it knew the log."""

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
        self._table = app.GlobalTable(
            "rollout",
            on_changelog_event=self._on_changelog_event,
            **(ROLLOUT_TABLE_OPTIONS if options is None else options),
        )

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
        if self._view.offer_log(log):
            self._on_change()

    def write_training(self, run: TrainingRun) -> None:
        """Write the latest training run."""
        self._table["training"] = _plain(run)
        self._view.offer_training(run)

    def write_heartbeat(self, heartbeat: Heartbeat, now: float) -> None:
        """Write a worker's latest heartbeat, and forget the workers that the view forgot."""
        self._view.offer_heartbeat(heartbeat, now)
        known = {FLEET_KEY + one.instance for one in self._view.fleet}
        key = FLEET_KEY + heartbeat.instance
        if key in known:
            self._table[key] = _plain(heartbeat)
        for written in [one for one in self._table if str(one).startswith(FLEET_KEY)]:
            if written not in known:
                del self._table[written]

    def renew_lease(self, now: float) -> None:
        """Write `now` and which log is known; now and then the log itself, to mend what was missed.

        A paused former owner may have written an older log over the newest, and a rebalance may
        have taken a change away from a worker, which then does not renew its lease.
        """
        log = self._view.log
        self._renewals += 1
        if self._renewals % RENEWALS_A_LOG == 0 and log.last_offset >= 0:
            self._table["log"] = _plain(log)
        self._table["lease"] = _plain(Lease(now, log.last_offset))

    async def _on_changelog_event(self, event: EventT[Any]) -> None:
        try:
            self._offer(event.key, event.value)
        except msgspec.ValidationError as error:  # Faust would swallow it: readiness must show it
            logger.error("rollout changelog: %r does not decode: %s", event.key, error)
            return
        self._on_change()

    def _offer(self, key: Any, value: Any) -> None:
        if key == "log":
            self._view.offer_log(msgspec.convert(value, ControlLog, str_keys=True))
        elif str(key).startswith(FLEET_KEY):
            if value is not None:  # None: the owner forgot the worker; the view forgets by itself
                heartbeat = msgspec.convert(value, Heartbeat, str_keys=True)
                self._view.offer_heartbeat(heartbeat, time.time())
        elif key == "lease":
            lease = msgspec.convert(value, Lease)
            self._view.renew_lease(lease.at, lease.last_offset, time.time())
        elif key == "training":
            self._view.offer_training(msgspec.convert(value, TrainingRun))


def _plain(value: msgspec.Struct) -> Any:
    """Return `value` as Faust's JSON serializer takes it; keys of objects are text there."""
    return msgspec.to_builtins(value, str_keys=True)
