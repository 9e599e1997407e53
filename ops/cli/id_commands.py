"""``recstream registry ids``: ids whose type differs between sources, and forgets of nobody.

Knows options and what is shown. What is wrong with an id is in `ops.clients.id_faults`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, Registry, settings_with

if TYPE_CHECKING:
    from ops.clients.id_faults import IdFault
    from registry.settings import Settings

FAULTS_SHOWN = 20


def ids(
    topic: Annotated[
        bool, typer.Option("--topic/--no-topic", help="Read the interaction topic as well.")
    ] = True,
    as_json: AsJson = False,
    registry: Registry = None,
    bootstrap: Bootstrap = None,
) -> None:
    """Report ids that are strings but look like integers, and `forget` events of unknown users.

    JSON and Parquet keep an id's type; CSV files, the command line and URLs read "42" as 42. An id
    that is the string "42" cannot be named there, and if 42 exists as well, one user has become
    two. Looks at the latest version and at all of the interaction topic. Exit code 1 if there is
    anything to report.

    Examples
    --------
      recstream registry ids
      recstream registry ids --no-topic --json
    """
    from ops.views import terminal

    settings = settings_with(MODEL_REGISTRY=registry, KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    faults = [*_version_faults(settings)]
    if topic:
        faults += _topic_faults(settings, as_json=as_json)
    if as_json:
        terminal.print_json({"faults": faults})
    elif not faults:
        terminal.out.print("every id has the same type in all sources")
    else:
        rows = [
            (fault.kind, fault.where, fault.of, repr(fault.id), _meaning(fault)) for fault in faults
        ]
        heads = ("fault", "in", "of", "id", "which means")
        terminal.out.print(terminal.grid(heads, rows[:FAULTS_SHOWN]))
        if len(rows) > FAULTS_SHOWN:
            terminal.out.print(f"and {len(rows) - FAULTS_SHOWN:,} more: --json has them all")
    if faults:
        raise typer.Exit(1)


def _version_faults(settings: Settings) -> Iterator[IdFault]:
    from ops.clients.id_faults import type_faults
    from registry.versions.store import store_of

    store = store_of(settings)
    version = store.latest()
    if version is None:
        return
    arrays = store.open(version).arrays
    yield from type_faults(version, "user", arrays.user_ids, set(arrays.user_ids))
    yield from type_faults(version, "item", arrays.item_ids, set(arrays.item_ids))


def _topic_faults(settings: Settings, *, as_json: bool) -> Iterator[IdFault]:
    from ops.clients.id_faults import forget_faults, type_faults
    from ops.clients.id_scan import ids_on_topic
    from ops.views import terminal
    from registry.kafka.topics import topics_of

    with terminal.progress(terminal.err, hidden=as_json) as progress:
        task = progress.add_task("records", total=None)
        seen = ids_on_topic(
            settings, lambda done, whole: progress.update(task, completed=done, total=whole)
        )
    name = topics_of(settings).interactions.name
    yield from type_faults(name, "user", seen.users, seen.users)
    yield from type_faults(name, "item", seen.items, seen.items)
    yield from forget_faults(name, seen.forgotten, seen.users)


def _meaning(fault: IdFault) -> str:
    if fault.kind == "two_types":
        return f"{fault.twin!r} exists, too: one {fault.of} under two ids"
    if fault.kind == "changes_type":
        return f"CSV, command line and URLs say {fault.twin!r}, which is unknown"
    if fault.twin is None:
        return "no such user has interactions: nothing was forgotten"
    return f"nothing was forgotten: the interactions are of {fault.twin!r}"
