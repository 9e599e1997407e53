"""``recstream inspect``: what is in the interactions, and what is unusual.

Knows options and what is shown. What is unusual is decided in `training.data.data_warnings`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, Registry, settings_with
from registry.errors import ConfigurationError

if TYPE_CHECKING:
    from registry.settings import Settings
    from registry.wire.training_records.data_report import DataReport


def inspect(
    version: Annotated[
        str | None,
        typer.Argument(metavar="[VERSION]", help="Like v0.4: what that version learned from."),
    ] = None,
    as_json: AsJson = False,
    registry: Registry = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Show what is in the interactions, and warn of what is unusual; nothing is learned.

    Without a version the interaction topic is read, up to its present end, as a training reads it.
    The report of a version is read from its manifest.

    Examples
    --------
      recstream inspect
      recstream inspect v0.4
    """
    from ops.views import terminal
    from ops.views.data_report_tables import data_report_tables
    from registry.versions.store import store_of

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap, MODEL_REGISTRY=registry)
    if version is None:
        report = _report_of_topic(settings, as_json)
    else:
        manifest = store_of(settings).manifest(version)
        if manifest.data_report is None:
            raise ConfigurationError(
                f"{version} has no data report: an earlier release published it"
            )
        report = manifest.data_report
    if as_json:
        terminal.print_json(report)
        return
    for table in data_report_tables(report):
        terminal.out.print(table)


def _report_of_topic(settings: Settings, as_json: bool) -> DataReport:
    """Read the interaction topic, and return what is in it."""
    from ops.views import terminal
    from ops.views.training_progress import StageDisplay
    from training.runs.inspection import inspect_topic

    with StageDisplay(terminal.err, hidden=as_json) as display:
        return inspect_topic(
            settings, lambda done, total: display.show("snapshot", done, total, None)
        )
