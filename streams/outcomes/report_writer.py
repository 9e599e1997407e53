"""Writing the report of an experiment into the registry when a command ends it.

An edge: it looks at the heartbeats, and writes in a thread, so that no command waits for a storage.
Must not know what a report says (`streams.outcomes.experiment_report`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from registry.errors import RecstreamError
from registry.settings import Settings
from registry.storage.objects import Objects
from registry.wire.command_results import CommandResult, report_folder
from registry.wire.rollout_state import RolloutState
from streams.outcomes.compared_arms import conclusion_of, preference_of
from streams.outcomes.experiment_report import EndedExperiment, report_pages
from streams.state.rollout_view import RolloutView

logger = logging.getLogger(__name__)


class ReportWriter:
    """Writes reports; see the module.

    Parameters
    ----------
    settings
        Whether outcomes are joined, and their window.
    objects
        The registry's.
    view
        What the workers of the fleet report.
    """

    def __init__(self, settings: Settings, objects: Objects, view: RolloutView) -> None:
        self._settings = settings
        self._objects = objects
        self._view = view
        self._writing: set[asyncio.Task[None]] = set()

    def look(self, before: RolloutState | None, result: CommandResult) -> EndedExperiment | None:
        """Return the experiment that a command ended.

        Parameters
        ----------
        before
            The state that the command changed.
        result
            Of the command.

        Returns
        -------
        What could be concluded by then; None if nothing was compared under `before`, or no user's
        window had closed.
        """
        if self._settings.outcomes == "off" or before is None or result.status != "applied":
            return None
        if result.epoch == before.epoch:
            return None
        fleet, window = self._view.fleet, self._settings.attribution_seconds
        preferred = preference_of(before, fleet)
        if preferred is not None:
            users = preferred.wins + preferred.losses + preferred.ties
            return EndedExperiment(before, result, preferred) if users else None
        found = conclusion_of(before, fleet, time.time(), window)
        if found is None or not found.primary.sums.users + found.canary.sums.users:
            return None
        return EndedExperiment(before, result, found)

    def write(self, ended: EndedExperiment) -> None:
        """Begin to write the report."""
        folder = report_folder(ended.state.environment, ended.state.epoch)
        task = asyncio.get_running_loop().create_task(self._write(folder, report_pages(ended)))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, folder: str, pages: Mapping[str, bytes]) -> None:
        try:
            for name, page in pages.items():
                await asyncio.to_thread(self._objects.create, f"{folder}/{name}", page)
        except RecstreamError as error:
            logger.warning("the report of an experiment was not written: %s", error)
