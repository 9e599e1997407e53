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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ops.ingest import column_roles as roles
from ops.ingest.column_roles import Cells, Places, Role, Unit
from ops.ingest.delimited_text import (
    DELIMITERS,
    ROWS_LOOKED_AT,
    Parting,
    parting_of,
    sampled,
    shown,
)
from ops.ingest.source_files import bare_name, first_bytes
from ops.ingest.text_encoding import encoding_of, require_no_utf_16, sample_of
from registry.errors import ConfigurationError, RecordError

Kind: TypeAlias = Literal["delimited", "records", "objects", "parquet"]

JSON_SUFFIXES: Final = (".jsonl", ".ndjson", ".json")
RATING_COLUMNS: Final = ("userId", "movieId", "rating", "timestamp")
RATING_ROLES: Final[tuple[Role, ...]] = ("user", "item", "value", "time")
NEEDED_COLUMNS: Final = ("user_id", "event")
"""Of a table of interaction records; the rest may be missing."""

COMMAS: Final = Parting(",", True)
ROWS_SHOWN: Final = 3
NO_TIME: Final = "no time column: all events get the time of ingestion"


@dataclass(frozen=True, slots=True)
class Asked:
    """The options for reading files; what is None or empty is detected."""

    columns: Mapping[Role, str] = field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None
    event: str | None = None
    unit: Unit | None = None
    header: bool | None = None
    quotes: bool = True


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


@dataclass(frozen=True, slots=True)
class _Table:
    """Names of columns and some first rows, of whatever format."""

    names: tuple[str, ...]
    rows: Sequence[Cells]
    seen: str
    has_header: bool = True
    guessed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    own: Mapping[Role, str] = field(default_factory=dict)
    """Columns that the format itself names."""


def layout_of(path: Path, asked: Asked | None = None) -> Layout:
    """Return how to read a file.

    Raises
    ------
    ConfigurationError
        If the file is not readable, or does not say where users and items are.
    """
    asked = asked or Asked()
    suffix = Path(bare_name(path)).suffix
    if suffix == ".parquet" or first_bytes(path).startswith(b"PAR1"):
        return _chosen(path, "parquet", _of_parquet(path), asked)
    if suffix in JSON_SUFFIXES:
        return _of_json(path, asked)
    return _of_delimited(path, asked)


def _chosen(path: Path, kind: Kind, table: _Table, asked: Asked, **text: Any) -> Layout:
    """Return the layout of a table whose columns are known."""
    own = table.own or _own_columns(table.names)
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
    is_known = bool(own) and asked == Asked()
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
        **text,
    )


def _event(table: _Table, places: Places) -> str | None:
    return "rate" if table.own else roles.event_of(table.names, places)


def _own_columns(names: Sequence[str]) -> dict[Role, str]:
    """Return the columns of the two tables that are read without a question."""
    if set(RATING_COLUMNS) <= set(names):
        return dict(zip(RATING_ROLES, RATING_COLUMNS, strict=True))
    if not set(NEEDED_COLUMNS) <= set(names):
        return {}
    fields = roles.FIELD_BY_ROLE.items()
    return {role: name for role, name in fields if name in names}


def _require_users_and_items(path: Path, table: _Table, places: Places) -> None:
    needed: tuple[Role, ...] = ("user",) if "event" in places else ("user", "item")
    if missing := [role for role in needed if role not in places]:
        has = f"the columns are {', '.join(table.names)}" if table.has_header else "no header"
        raise ConfigurationError(
            f"{path}: {table.seen}; {has}: which one is the {' and the '.join(missing)}? "
            "Use --columns, for example --columns user=userId,item=artistID,value=weight. "
            f"Recognised are {', '.join(NEEDED_COLUMNS)}, … (interactions) and "
            f"{', '.join(RATING_COLUMNS)} (ratings)"
        )


def _of_parquet(path: Path) -> _Table:
    try:
        with pq.ParquetFile(path) as file:
            names = tuple(file.schema_arrow.names)
            batch = next(file.iter_batches(ROWS_LOOKED_AT), None)
            rows = (
                list(zip(*(column.to_pylist() for column in batch), strict=True)) if batch else []
            )
    except (pa.ArrowException, OSError) as error:
        raise ConfigurationError(f"{path}: not readable: {error}") from error
    return _Table(names, rows, "Parquet")


def _of_json(path: Path, asked: Asked) -> Layout:
    if asked.encoding is None:
        require_no_utf_16(path)
    encoding = asked.encoding or "utf-8"
    lines, _ = sample_of(path, encoding)
    texts = [text for line in lines if (text := line.strip(" \t\r\n\ufeff"))]
    if texts and texts[0].startswith("["):
        raise ConfigurationError(
            f"{path}: a JSON array; expected one object per line (jq -c '.[]' converts it)"
        )
    objects = [found for text in texts[:ROWS_LOOKED_AT] if isinstance(found := _object(text), dict)]
    names = tuple(dict.fromkeys(name for found in objects for name in found))
    is_record = not names or set(NEEDED_COLUMNS) <= set(names)
    if is_record and (asked.columns, asked.event, asked.unit) == ({}, None, None):
        return Layout("records", encoding=encoding, seen="interaction records")
    rows = [[found.get(name) for name in names] for found in objects]
    return _chosen(path, "objects", _Table(names, rows, "JSON lines"), asked, encoding=encoding)


def _object(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return None


def _of_delimited(path: Path, asked: Asked) -> Layout:
    encoding = encoding_of(path, asked.encoding)
    lines, whole = sample_of(path, encoding.name)
    if not any(line.strip() for line in lines):
        raise ConfigurationError(f"{path}: empty: there is no line")
    parting, own = _known(bare_name(path), lines, asked)
    guessed = () if parting else ("delimiter",)
    parting = parting or parting_of(str(path), lines, whole=whole)
    parting = Parting(parting.delimiter, parting.quoted and asked.quotes)
    sample = sampled(lines, parting, whole=whole or len(lines) < 3)
    rows = [row for row in sample if not isinstance(row, RecordError)]
    if not rows:
        raise ConfigurationError(f"{path}: no usable row; the first one: {sample[0]}")
    has_header = False if own else _has_header(path, rows, asked)
    width = len(rows[0]) if has_header else max(map(len, rows))
    names = _names(rows[0]) if has_header else tuple(f"column {n + 1}" for n in range(width))
    body = [row for row in rows[has_header:] if len(row) == width]
    notes = (*encoding.notes, *(["line endings are CR"] if lines[0].endswith("\r") else []))
    seen = _words(parting, Path(bare_name(path)).suffix, has_header)
    table = _Table(names, body, seen, has_header, guessed, notes, own)
    return _chosen(path, "delimited", table, asked, parting=parting, encoding=encoding.name)


def _known(
    name: str, lines: Sequence[str], asked: Asked
) -> tuple[Parting | None, Mapping[Role, str]]:
    """Return what parts the cells if a format says it, and the columns of one without a header."""
    if asked.delimiter is not None:
        return Parting(asked.delimiter, True), {}
    suffix = Path(name).suffix
    first = next(line for line in lines if line.strip())
    by_place: dict[Role, str] = {role: str(n) for n, role in enumerate(RATING_ROLES, 1)}
    for is_format, parting in (
        (suffix == ".dat", Parting("::", False)),
        (name == "u.data", Parting("\t", False)),
    ):
        if is_format and first.count(parting.delimiter) == len(by_place) - 1:
            return parting, {} if asked.columns else by_place
    if suffix == ".csv":
        (head, *_) = sampled([first], Parting(",", True), whole=True)
        if not isinstance(head, RecordError) and _own_columns(_names(head)):
            return Parting(",", True), {}
    return None, {}


def _has_header(path: Path, rows: Sequence[Sequence[str]], asked: Asked) -> bool:
    if asked.header is not None:
        return asked.header
    if any(column in _names(rows[0]) for column in asked.columns.values() if not column.isdigit()):
        return True
    seen = roles.has_header(rows)
    if seen is None:
        raise ConfigurationError(
            f"{path}: is the first row, {shown(' '.join(rows[0]))}, a header? "
            "Use --header or --no-header"
        )
    return seen


def _names(header: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip(" \ufeff") for name in header)


def _words(parting: Parting, suffix: str, has_header: bool) -> str:
    expected = {".dat": "::", ".csv": ","}.get(suffix, parting.delimiter)
    rather = "" if expected == parting.delimiter else f", expected {DELIMITERS[expected]}"
    called = DELIMITERS.get(parting.delimiter, repr(parting.delimiter))
    return f"{called}{rather}; {'with' if has_header else 'without'} a header"
