"""Inspection: what a training would find in the interactions, without one."""

from __future__ import annotations

from collections.abc import Callable

from registry.settings import Settings
from registry.wire.training_records.data_report import DataReport
from training.data.cell_weights import settle_transforms
from training.data.data_warnings import warned
from training.data.snapshot import read_snapshot
from training.runs.run_rules import parameters_of


def inspect_topic(settings: Settings, advance: Callable[[int, int], None]) -> DataReport:
    """Read the interaction topic as a training reads it, and return what is in it.

    Parameters
    ----------
    settings
        Which broker, topic and registry.
    advance
        Called with the new offsets passed and the new offsets there are.

    Raises
    ------
    RecstreamError
        As `training.data.snapshot.read_snapshot` does.
    """
    snapshot = read_snapshot(settings, advance)
    parameters = parameters_of(settings)
    used = settle_transforms(parameters, snapshot.cells)
    return warned(snapshot.report, parameters.weights, used.weights)
