"""The rollout table: a Faust GlobalTable whose changelog feeds the rollout view of every worker.

Three keys of plain JSON: ``log`` (state and latest commands), ``lease`` (the owner's time, every
few seconds) and ``training`` (the latest run). Only the control agent writes ``log``. Nobody reads
the table; all read the view, which never goes back. Knows the table's encoding, not the rules.
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
from registry.records import TrainingRun
from streams.view import RolloutView
from streams.workarounds import ROLLOUT_TABLE_OPTIONS

logger = logging.getLogger(__name__)

LEASE_RENEWALS: Final = 10
"""Renewals within one lease: so many may be lost in a row before a worker is out of touch."""


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
        self._table["log"] = msgspec.to_builtins(log)
        if self._view.offer_log(log):
            self._on_change()

    def write_training(self, run: TrainingRun) -> None:
        """Write the latest training run."""
        self._table["training"] = msgspec.to_builtins(run)
        self._view.offer_training(run)

    def renew_lease(self, now: float) -> None:
        """Write `now`, and mend the log where a paused former owner wrote an older one."""
        self._table["lease"] = now
        written = self._table.get("log")
        known = self._view.log
        if written is not None and written["last_offset"] < known.last_offset:
            self._table["log"] = msgspec.to_builtins(known)

    async def _on_changelog_event(self, event: EventT[Any]) -> None:
        try:
            self._offer(event.key, event.value)
        except msgspec.ValidationError as error:  # Faust would swallow it: readiness must show it
            logger.error("rollout changelog: %r does not decode: %s", event.key, error)
            return
        self._on_change()

    def _offer(self, key: Any, value: Any) -> None:
        if key == "log":
            self._view.offer_log(msgspec.convert(value, ControlLog))
        elif key == "lease":
            self._view.renew_lease(msgspec.convert(value, float), time.time())
        elif key == "training":
            self._view.offer_training(msgspec.convert(value, TrainingRun))
