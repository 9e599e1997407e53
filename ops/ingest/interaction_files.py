"""Reading interactions from files: MovieLens CSV and DAT, JSON lines, and Parquet.

Knows the formats. Must not know Kafka nor the terminal. A line that cannot be used comes out as a
:class:`BadLine` in its place, so that the caller counts, shows and decides.

==========  ==============================================================================
format      a line
==========  ==============================================================================
``csv``     what the header says: ``userId,movieId,rating,timestamp``, or fields of such a record
            as below, ``user_id`` and ``event`` among them; other columns are ignored
``dat``     ``user::movie::rating::timestamp``, no header
``jsonl``   one interaction record (:class:`registry.wire.interactions.Interaction`)
``parquet`` a row with the columns of such a record, or with those of the CSV
==========  ==============================================================================

Ratings become ``rate`` events whose value is the rating. In CSV and DAT, ids of digits become
integers; in JSON lines and Parquet they keep their type. An empty cell of a CSV's record is a field
that is absent. All but Parquet may be gzipped.
"""

from __future__ import annotations

import csv
import datetime
import gzip
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec.structs import replace

from registry.error_codes import RecordCode
from registry.errors import ConfigurationError, RecordError
from registry.ids import ItemId, parse_id
from registry.wire.codec import decode
from registry.wire.interactions import Interaction

FileFormat: TypeAlias = Literal["csv", "dat", "jsonl", "parquet"]
Row: TypeAlias = "list[str]"

SUFFIXES: Final[Mapping[str, FileFormat]] = {
    ".csv": "csv",
    ".dat": "dat",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}
RATING_COLUMNS: Final = ("userId", "movieId", "rating", "timestamp")
RECORD_COLUMNS: Final = Interaction.__struct_fields__
NEEDED_COLUMNS: Final = ("user_id", "event")
"""Of a table of interaction records; the rest may be missing."""

FIELD_BY_RATING_COLUMN: Final = {
    "userId": "user_id",
    "movieId": "item_id",
    "rating": "value",
    "timestamp": "timestamp",
}
ROWS_AT_ONCE: Final = 10_000
MOVIE_COLUMNS: Final = ("movieId", "title")


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line, or a row, that cannot be used: its number, from 1, and why."""

    number: int
    reason: str


def format_of(path: Path) -> FileFormat:
    """Return the format that the file's name tells, with or without ``.gz``.

    >>> format_of(Path("ratings.csv.gz"))
    'csv'

    Raises
    ------
    ConfigurationError
        If it tells none.
    """
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in SUFFIXES:
        allowed = ", ".join(SUFFIXES)
        raise ConfigurationError(f"{path}: the format is told by the name, one of {allowed} (.gz)")
    return SUFFIXES[suffix]


def read_interactions(
    path: Path, titles: Mapping[ItemId, str] | None = None
) -> Iterator[Interaction | BadLine]:
    """Yield the interactions of a file, and its bad lines, in order; blank lines are nothing.

    Parameters
    ----------
    path
        The file.
    titles
        Titles by item id. To keep the records small, a title goes with the first interaction of
        its item only.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, its name tells no format, or its header lacks a column.
    """
    untold = dict(titles or {})
    for one in _parsed(path):
        item = one.item_id if isinstance(one, Interaction) else None
        if isinstance(one, Interaction) and item in untold:
            yield replace(one, title=untold.pop(item))
        else:
            yield one


def read_titles(path: Path) -> dict[ItemId, str]:
    """Return titles by item id from MovieLens' ``movies.csv`` or ``movies.dat`` (Latin-1).

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or at its first bad line.
    """
    if format_of(path) not in ("csv", "dat"):
        raise ConfigurationError(f"{path}: titles come from a CSV or DAT file")
    titles: dict[ItemId, str] = {}
    for number, row in _rows(path, MOVIE_COLUMNS, encoding_of_dat="latin-1"):
        if isinstance(row, RecordError):
            raise ConfigurationError(f"{path}, line {number}: {row}")
        titles[parse_id(row[0])] = row[1]
    return titles


def _parsed(path: Path) -> Iterator[Interaction | BadLine]:
    parse, numbered = _reader(path)
    for number, content in numbered:
        try:
            if isinstance(content, RecordError):
                raise content
            yield parse(content)
        except RecordError as error:
            yield BadLine(number, str(error))


def _reader(path: Path) -> tuple[Callable[[Any], Interaction], Iterator[tuple[int, object]]]:
    """Return what makes an interaction of a line's content, and the numbered contents."""
    format_ = format_of(path)
    if format_ == "jsonl":
        return cast("Callable[[Any], Interaction]", partial(decode, Interaction)), _lines(path)
    if format_ == "parquet":
        return _interaction, _table_rows(path)
    if format_ == "csv" and "user_id" in (names := _header(path)):
        columns = tuple(name for name in RECORD_COLUMNS if name in {*names, *NEEDED_COLUMNS})
        return partial(_record, columns), _rows(path, columns, encoding_of_dat="utf-8")
    return _rating, _rows(path, RATING_COLUMNS, encoding_of_dat="utf-8")


def _record(columns: tuple[str, ...], row: Row) -> Interaction:
    """Return the interaction that a CSV's cells are; an empty one is a field that is absent."""
    cells = ((name, cell) for name, cell in zip(columns, row, strict=True) if cell)
    return _interaction({name: _typed(name, cell) for name, cell in cells})


def _typed(name: str, text: str) -> object:
    if name in ("user_id", "item_id"):
        return parse_id(text)
    return _number(name, text) if name in ("value", "timestamp") else text


def _interaction(row: Mapping[str, object]) -> Interaction:
    fields: dict[str, object] = {} if "userId" not in row else {"event": "rate"}
    for column, value in row.items():
        if value is None:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise RecordError(f"{column} {value}: must be a number", RecordCode.INVALID)
        name = FIELD_BY_RATING_COLUMN.get(column, column)
        fields[name] = _seconds(value) if isinstance(value, datetime.datetime) else value
    try:
        return msgspec.convert(fields, Interaction)
    except msgspec.ValidationError as error:
        raise RecordError(f"Interaction: {error}", RecordCode.INVALID) from error


def _seconds(moment: datetime.datetime) -> float:
    """Return seconds since the epoch; without a time zone it is UTC, as Parquet has it."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _table_rows(path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    try:
        file = pq.ParquetFile(path)
        names = set(file.schema_arrow.names)
        wanted = RATING_COLUMNS if "userId" in names else sorted(names.intersection(RECORD_COLUMNS))
        needed = RATING_COLUMNS if "userId" in names else NEEDED_COLUMNS
        if missing := [name for name in needed if name not in names]:
            raise ConfigurationError(
                f"{path}: lacks the columns {', '.join(missing)}; it has {', '.join(sorted(names))}"
            )
        rows = (
            row
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(wanted))
            for row in batch.to_pylist()
        )
        yield from enumerate(rows, 1)
    except (pa.ArrowException, OSError) as error:
        raise ConfigurationError(f"{path}: not readable: {error}") from error


def _rating(row: Row) -> Interaction:
    user, item, rating, timestamp = row
    if not user or not item:
        raise RecordError("user and movie must not be empty", RecordCode.INVALID)
    return Interaction(
        user_id=parse_id(user),
        item_id=parse_id(item),
        event="rate",
        value=_number("rating", rating),
        timestamp=_number("timestamp", timestamp),
    )


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RecordError(f"{name} {text!r}: must be a number", RecordCode.INVALID)
    return number


def _rows(
    path: Path, columns: tuple[str, ...], *, encoding_of_dat: str
) -> Iterator[tuple[int, Row | RecordError]]:
    """Yield the wanted columns of each line, or why they are not there."""
    if format_of(path) == "dat":
        for number, line in _lines(path):
            yield number, _columns(line, encoding_of_dat, "::", range(len(columns)))
        return
    lines = _lines(path)
    places = _places(path, next(lines, (1, b""))[1], columns)
    for number, line in lines:
        yield number, _columns(line, "utf-8", ",", places)


def _places(path: Path, header: bytes, columns: tuple[str, ...]) -> list[int]:
    names = _names(header)
    if missing := [name for name in columns if name not in names]:
        or_record = f" (ratings), or {', '.join(NEEDED_COLUMNS)}, … (interaction records)"
        raise ConfigurationError(
            f"{path}: the header {header[:80].decode('utf-8', 'replace')!r} lacks "
            f"{', '.join(missing)}; needed are {', '.join(columns)}"
            + (or_record if columns == RATING_COLUMNS else "")
        )
    return [names.index(name) for name in columns]


def _header(path: Path) -> Row:
    """Return the names in the first line of a CSV; none if there is no line."""
    return _names(next(_lines(path), (1, b""))[1])


def _names(header: bytes) -> Row:
    names = _columns(header.removeprefix(b"\xef\xbb\xbf"), "utf-8", ",", None)
    return [] if isinstance(names, RecordError) else names


def _columns(
    line: bytes, encoding: str, separator: str, places: Iterable[int] | None
) -> Row | RecordError:
    try:
        text = line.decode(encoding)
        fields = (
            next(csv.reader([text])) if '"' in text and separator == "," else text.split(separator)
        )
        return fields if places is None else [fields[place] for place in places]
    except UnicodeDecodeError as error:
        return RecordError(f"not {encoding}: {error}", RecordCode.MALFORMED)
    except (IndexError, csv.Error):
        return RecordError(
            f"{line[:80]!r}: too few columns, or unbalanced quotes", RecordCode.MALFORMED
        )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if stripped := line.strip():
                    yield number, stripped
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError(f"{path}: not readable: {error}") from error
