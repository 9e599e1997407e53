"""The layout of a file of interactions: known from its format, given by the user, or guessed.

Knows formats by name and content. Must not know the terminal. What was guessed is in
:attr:`Layout.guessed`: whoever reads the file must have it confirmed, because the topic is kept for
ever.

==================================  ============================================================
read without a question             columns
==================================  ============================================================
CSV, Parquet (this project's)       ``user_id`` and ``event``, and what there is of ``item_id``,
                                    ``value``, ``timestamp``, ``title``
CSV, Parquet (MovieLens')           ``userId``, ``movieId``, ``rating``, ``timestamp``
``*.dat`` (MovieLens')              ``user::movie::rating::timestamp``
``u.data`` (MovieLens 100K)         the same, by tabs
JSON lines                          one interaction record a line
==================================  ============================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from ops.ingest import column_roles as roles
from ops.ingest.column_roles import Places, Role, Unit
from ops.ingest.delimited_text import Parting
from ops.ingest.file_tables import (
    COMMAS,
    NEEDED_COLUMNS,
    RATING_COLUMNS,
    FileOptions,
    Table,
    own_columns,
    table_of_delimited,
    table_of_objects,
    table_of_parquet,
)
from ops.ingest.source_files import bare_name, first_bytes
from registry.errors import ConfigurationError

Kind: TypeAlias = Literal["delimited", "records", "objects", "parquet"]

JSON_SUFFIXES: Final = (".jsonl", ".ndjson", ".json")
ROWS_SHOWN: Final = 3
NO_TIME: Final = "no time column: all events get the time of ingestion"


@dataclass(frozen=True, slots=True)
class Layout:
    """How to read one file.

    Parameters
    ----------
    kind
        What a row is: cells between delimiters, an interaction record in JSON, another JSON object,
        or a row of a Parquet table.
    names
        Of all columns.
    places
        Of those that are used, by role.
    event
        What all events are; None if a column says it.
    unit
        Of times.
    parting, encoding, has_header
        Of delimited text; JSON has the encoding.
    rows
        The first rows, to be shown.
    seen
        What it is, in words, and what its name suggests.
    guessed
        What the user has to confirm. Empty for the formats above.
    notes
        Worth a warning.
    read_as
        Which interactions result, as a key for `send_once`; empty for the formats above.
    """

    kind: Kind
    names: tuple[str, ...] = ()
    places: Places = field(default_factory=dict)
    event: str | None = None
    unit: Unit = "s"
    parting: Parting = COMMAS
    encoding: str = "utf-8"
    has_header: bool = True
    rows: tuple[tuple[object, ...], ...] = ()
    seen: str = ""
    guessed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    read_as: str = ""


def layout_of(path: Path, asked: FileOptions | None = None) -> Layout:
    """Return how to read a file.

    Raises
    ------
    ConfigurationError
        If the file is not readable, or does not say where users and items are.
    """
    asked = asked or FileOptions()
    suffix = Path(bare_name(path)).suffix
    if suffix == ".parquet" or first_bytes(path).startswith(b"PAR1"):
        require_unused(path, "a Parquet file", asked, ("delimiter", "encoding", "header", "quotes"))
        return _chosen(path, "parquet", table_of_parquet(path), asked)
    if suffix in JSON_SUFFIXES:
        require_unused(path, "a file of JSON lines", asked, ("delimiter", "header", "quotes"))
        return _of_json(path, asked)
    return _chosen(path, "delimited", table_of_delimited(path, asked), asked)


def require_unused(path: Path, kind: str, asked: FileOptions, names: tuple[str, ...]) -> None:
    """Refuse options that mean nothing for a file, and would otherwise silently do nothing.

    Raises
    ------
    ConfigurationError
        Naming the options.
    """
    unset = FileOptions()
    if given := [name for name in names if getattr(asked, name) != getattr(unset, name)]:
        spelled = ", ".join("--no-quotes" if name == "quotes" else f"--{name}" for name in given)
        raise ConfigurationError(
            f"{path}: {kind} takes no {spelled}; leave it out, or ingest the text files separately"
        )


def _chosen(path: Path, kind: Kind, table: Table, asked: FileOptions) -> Layout:
    """Return the layout of a table whose columns are known."""
    own = table.own or own_columns(table.names)
    named = asked.columns or own
    if named:
        try:
            places = roles.places_named(named, table.names, header=table.has_header)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from None
    else:
        places = (
            roles.places_by_name(table.names)
            if table.has_header
            else roles.places_by_shape(table.rows)
        )
    _require_users_and_items(path, table, places)
    if asked.event is not None and "event" in places:
        column = table.names[places["event"]]
        raise ConfigurationError(
            f"{path}: --event {asked.event} contradicts the column {column}; use one of them"
        )
    cells = [row[places["time"]] for row in table.rows] if "time" in places else []
    unit = asked.unit or roles.unit_seen(cells)
    guesses = {
        "delimiter": "delimiter" in table.guessed and not asked.columns,
        "columns": not named,
        "unit of time": asked.unit is None and unit != "s",
    }
    event = asked.event or _event(table, places)
    is_known = bool(own) and asked == FileOptions()
    return Layout(
        kind,
        table.names,
        places,
        event,
        unit,
        read_as="" if is_known else f"{sorted(places.items())} {event} {unit}",
        rows=tuple(tuple(row) for row in table.rows[:ROWS_SHOWN]),
        seen=table.seen,
        has_header=table.has_header,
        guessed=tuple(guess for guess, is_one in guesses.items() if is_one),
        notes=(*table.notes, *([] if "time" in places else [NO_TIME])),
        parting=table.parting,
        encoding=table.encoding,
    )


def _event(table: Table, places: Places) -> str | None:
    return "rate" if table.own else roles.event_of(table.names, places)


def _require_users_and_items(path: Path, table: Table, places: Places) -> None:
    needed: tuple[Role, ...] = ("user",) if "event" in places else ("user", "item")
    if missing := [role for role in needed if role not in places]:
        has = f"the columns are {', '.join(table.names)}" if table.has_header else "no header"
        raise ConfigurationError(
            f"{path}: {table.seen}; {has}: which one is the {' and the '.join(missing)}? "
            "Use --columns, for example --columns user=userId,item=artistID,value=weight. "
            f"Recognised are {', '.join(NEEDED_COLUMNS)}, … (interactions) and "
            f"{', '.join(RATING_COLUMNS)} (ratings)"
        )


def _of_json(path: Path, asked: FileOptions) -> Layout:
    table = table_of_objects(path, asked)
    is_record = not table.names or set(NEEDED_COLUMNS) <= set(table.names)
    if is_record and (asked.columns, asked.event, asked.unit) == ({}, None, None):
        return Layout("records", encoding=table.encoding, seen="interaction records")
    return _chosen(path, "objects", table, asked)
