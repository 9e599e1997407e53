"""``recstream items``: send titles and labels of items, withdraw items and bring them back.

Knows options and what is shown. Files are read in `ops.ingest`. Each command reads the items topic
first: a record replaces all that was known of its item.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.options import AsJson, Bootstrap, NegativeIds, settings_with
from registry.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.ids import ItemId
    from registry.kafka.item_records import ItemRecords
    from registry.settings import Settings
    from registry.wire.training_records.catalogue_items import CatalogueItem

app = typer.Typer(
    no_args_is_help=True, help="Send titles and labels of items, withdraw items, restore them."
)

Items = Annotated[
    list[str],
    typer.Argument(metavar="ITEM...", help="Item ids; a whole number, like 42, is an integer id."),
]
StringId = Annotated[
    bool, typer.Option("--string-id", help="Treat the ids as strings, even if they are all digits.")
]


@app.command()
def load(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="movies.csv, movies.dat, u.item, or a table with a header.",
        ),
    ],
    columns: Annotated[
        str | None,
        typer.Option(metavar="item=COLUMN,title=COLUMN", help="Columns by name or position."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=COLUMN",
            help="A label and its column; repeatable. Default: genre=genres, if there is one.",
        ),
    ] = None,
    separator: Annotated[
        str, typer.Option(metavar="TEXT", help="What separates the values of a label.")
    ] = "|",
    quotes: Annotated[
        bool, typer.Option("--quotes/--no-quotes", help="Whether double quotes enclose cells.")
    ] = True,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Send the titles and labels of FILE to the items topic: what it does not have yet.

    A second run sends nothing. What is withdrawn stays so. A label whose cell is empty is removed;
    one that FILE does not name stays. Trainings begun afterwards take both from the topic.

    Examples
    --------
      recstream items load movies.csv
      recstream items load products.tsv --columns item=sku,title=name --label brand=brand
    """
    from ops.ingest.column_roles import TITLE_ROLES, roles_named
    from ops.ingest.item_files import read_items
    from ops.ingest.text_encoding import encoding_of
    from ops.views import terminal
    from registry.catalogue.item_changes import changes

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    named = roles_named(columns, TITLE_ROLES) if columns else None
    labels = _labels(label) if label else None
    items = read_items(file, named, labels, separator=separator, quotes=quotes)
    for note in encoding_of(file).notes:
        terminal.err.print(f"{file}: {note}")
    records, started = _read(settings, as_json=as_json), time.monotonic()
    _send(settings, changed := list(changes(items.values(), records.get)), as_json=as_json)
    seconds, same = time.monotonic() - started, len(items) - len(changed)
    if as_json:
        terminal.print_json({"sent": len(changed), "unchanged": same, "seconds": round(seconds, 3)})
        return
    terminal.out.print(
        f"{len(changed):,} items sent and confirmed in {seconds:.1f} s; "
        f"{same:,} are on {records.topic} already"
    )


@app.command(cls=NegativeIds)
def withdraw(
    items: Items,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Withdraw at this time, not now: ISO 8601, such as 2027-01-31."
        ),
    ] = None,
    string_id: StringId = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Withdraw items: within a second they are in no answer of any version.

    With --at, they are available until that time, by the clock of each worker.

    Examples
    --------
      recstream items withdraw 42 sku-7
      recstream items withdraw 42 --at 2027-01-31T18:00Z
    """
    given = {"withdrawn": True} if at is None else {"available_until": _seconds(at)}
    _change(items, string_id, given, as_json=as_json, bootstrap=bootstrap)


@app.command(cls=NegativeIds)
def restore(
    items: Items,
    string_id: StringId = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Bring withdrawn items back; an end of their availability is removed, too.

    Examples
    --------
      recstream items restore 42
    """
    given = {"withdrawn": False, "available_until": None}
    _change(items, string_id, given, as_json=as_json, bootstrap=bootstrap)


@app.command(cls=NegativeIds)
def show(
    items: Items,
    string_id: StringId = False,
    as_json: AsJson = False,
    bootstrap: Bootstrap = None,
) -> None:
    """Show what the items topic has of items. Exit code 1 if it has nothing of one.

    Examples
    --------
      recstream items show 42
    """
    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    records = _read(settings, as_json=as_json)
    ids = _ids(items, string_id)
    found = [item for item_id in ids if (item := records.get(item_id)) is not None]
    _show(found, as_json=as_json)
    known = {item.item_id for item in found}
    if missing := [repr(item_id) for item_id in ids if item_id not in known]:
        if not as_json:
            from ops.views import terminal

            terminal.err.print(f"not on {records.topic}: {', '.join(missing)}")
        raise typer.Exit(1)


def _seconds(text: str) -> float:
    from registry.wire.instants import Instant

    try:
        return Instant.read(text).timestamp()
    except ValueError:
        raise typer.BadParameter(
            f"--at {text!r}: must be ISO 8601, like 2027-01-31T18:00Z"
        ) from None


def _labels(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in given:
        name, _, column = (piece.strip() for piece in part.partition("="))
        if not name or not column or name in found:
            raise ConfigurationError(f"--label {part!r}: must be NAME=COLUMN, each name once")
        found[name] = column
    return found


def _ids(given: Sequence[str], string_id: bool) -> list[ItemId]:
    from registry.ids import parse_id

    return [text if string_id else parse_id(text) for text in given]


def _read(settings: Settings, *, as_json: bool) -> ItemRecords:
    """Read the items topic; refuse a deployment without one."""
    from ops.clients.kafka_client import require_broker
    from ops.views import terminal
    from registry.kafka.item_records import read_item_records

    require_broker(settings)
    with terminal.progress(terminal.err, hidden=as_json) as progress:
        task = progress.add_task("items topic", total=None)
        records = read_item_records(
            settings, lambda done, whole: progress.update(task, completed=done, total=whole)
        )
    if records.absent is not None:
        raise ConfigurationError(records.absent)
    for reason, count in records.refused.items():
        terminal.err.print(f"warning: {count:,} records of {records.topic} are no items: {reason}")
    return records


def _change(
    texts: Sequence[str],
    string_id: bool,
    given: Mapping[str, object],
    *,
    as_json: bool,
    bootstrap: str | None,
) -> None:
    """Send the items with some fields as given, and all others as they are."""
    from msgspec.structs import replace

    from registry.wire.training_records.catalogue_items import CatalogueItem

    settings = settings_with(KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    records = _read(settings, as_json=as_json)
    ids = list(dict.fromkeys(_ids(texts, string_id)))
    _require_no_twins(records, ids)
    changed = [replace(records.get(item_id) or CatalogueItem(item_id), **given) for item_id in ids]
    _send(settings, changed, as_json=as_json)
    _show(changed, as_json=as_json)


def _require_no_twins(records: ItemRecords, ids: Sequence[ItemId]) -> None:
    """Refuse ids that the topic knows with the other JSON type only: nothing would happen."""
    from registry.ids import twin_of

    for item_id in ids:
        twin = twin_of(item_id)
        if records.get(item_id) is None and twin is not None and records.get(twin) is not None:
            how = "use --string-id" if isinstance(twin, str) else "leave --string-id out"
            raise ConfigurationError(
                f"item {item_id!r}: {records.topic} has {twin!r}, another id; {how}. "
                "Nothing was changed"
            )


def _send(settings: Settings, items: Sequence[CatalogueItem], *, as_json: bool) -> None:
    from ops.clients.kafka_client import produce_all
    from ops.views import terminal
    from registry.catalogue.item_keys import key_of
    from registry.kafka.topics import topics_of
    from registry.wire.codec import encode

    with terminal.progress(terminal.err, hidden=as_json) as progress:
        task = progress.add_task("items", total=len(items))
        records = ((key_of(item.item_id).decode(), encode(item)) for item in items)
        produce_all(
            settings,
            topics_of(settings).items,
            records,
            on_sent=lambda sent: progress.update(task, completed=sent),
        )
        progress.update(task, completed=len(items))


def _show(items: Sequence[CatalogueItem], *, as_json: bool) -> None:
    from ops.views import terminal

    if as_json:
        terminal.print_json({"items": items})
        return
    rows = [
        (repr(item.item_id), item.title or "", _words(item), _labels_of(item)) for item in items
    ]
    if rows:
        terminal.out.print(terminal.grid(("item", "title", "is", "labels"), rows))


def _words(item: CatalogueItem) -> str:
    if item.withdrawn:
        return "withdrawn"
    if item.available_until is None:
        return "available"
    moment = datetime.fromtimestamp(item.available_until, UTC).isoformat(timespec="seconds")
    is_past = item.available_until <= time.time()
    return f"{'withdrawn since' if is_past else 'available until'} {moment}"


def _labels_of(item: CatalogueItem) -> str:
    return "; ".join(f"{label}: {', '.join(values)}" for label, values in item.labels.items())
