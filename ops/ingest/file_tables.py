"""The beginning of a file as a table: names of columns, and some first rows.

Knows how a file of each kind begins, and the options. Must not know what the columns mean, but for
those that a format itself names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ops.ingest import column_roles as roles
from ops.ingest.column_roles import Cells, Role, Unit
from ops.ingest.delimited_text import (
    DELIMITERS,
    ROWS_LOOKED_AT,
    Parting,
    parting_of,
    sampled,
    shown,
)
from ops.ingest.source_files import bare_name
from ops.ingest.text_encoding import encoding_of, require_no_utf_16, sample_of
from registry.errors import ConfigurationError, RecordError

RATING_COLUMNS: Final = ("userId", "movieId", "rating", "timestamp")
RATING_ROLES: Final[tuple[Role, ...]] = ("user", "item", "value", "time")
NEEDED_COLUMNS: Final = ("user_id", "event")
"""Of a table of interaction records; the rest may be missing."""
COMMAS: Final = Parting(",", True)


@dataclass(frozen=True, slots=True)
class FileOptions:
    """The options for reading files; what is None or empty is detected."""

    columns: Mapping[Role, str] = field(default_factory=dict)
    delimiter: str | None = None
    encoding: str | None = None
    event: str | None = None
    unit: Unit | None = None
    header: bool | None = None
    quotes: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Names of columns and some first rows, of whatever format."""

    names: tuple[str, ...]
    rows: Sequence[Cells]
    seen: str
    has_header: bool = True
    guessed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    own: Mapping[Role, str] = field(default_factory=dict)
    """Columns that the format itself names."""

    parting: Parting = COMMAS
    encoding: str = "utf-8"


def own_columns(names: Sequence[str]) -> dict[Role, str]:
    """Return the columns of the two tables that are read without a question."""
    if set(RATING_COLUMNS) <= set(names):
        return dict(zip(RATING_ROLES, RATING_COLUMNS, strict=True))
    if not set(NEEDED_COLUMNS) <= set(names):
        return {}
    fields = roles.FIELD_BY_ROLE.items()
    return {role: name for role, name in fields if name in names}


def table_of_parquet(path: Path) -> Table:
    """Return the table of a Parquet file.

    Raises
    ------
    ConfigurationError
        If the file is not readable.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = tuple(file.schema_arrow.names)
            batch = next(file.iter_batches(ROWS_LOOKED_AT), None)
            rows = (
                list(zip(*(column.to_pylist() for column in batch), strict=True)) if batch else []
            )
    except (pa.ArrowException, OSError) as error:
        raise ConfigurationError(f"{path}: not readable: {error}") from error
    return Table(names, rows, "Parquet")


def table_of_objects(path: Path, asked: FileOptions) -> Table:
    """Return the table of a file of JSON lines: a column for each field that occurs.

    Raises
    ------
    ConfigurationError
        If the file is not readable, or no such file.
    """
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
    rows = [[found.get(name) for name in names] for found in objects]
    return Table(names, rows, "JSON lines", encoding=encoding)


def table_of_delimited(path: Path, asked: FileOptions) -> Table:
    """Return the table of a text file.

    Raises
    ------
    ConfigurationError
        If the file is not readable, or delimiter or header cannot be told.
    """
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
    if not rows or (isinstance(sample[0], RecordError) and not own):
        raise ConfigurationError(f"{path}: the first row is not usable: {sample[0]}")
    has_header = False if own else _has_header(path, rows, asked)
    width = len(rows[0]) if has_header else Counter(map(len, rows)).most_common(1)[0][0]
    names = _names(rows[0]) if has_header else tuple(f"column {n + 1}" for n in range(width))
    body = [row for row in rows[has_header:] if len(row) == width]
    notes = (*encoding.notes, *(["line endings are CR"] if lines[0].endswith("\r") else []))
    seen = _words(parting, Path(bare_name(path)).suffix, has_header)
    return Table(names, body, seen, has_header, guessed, notes, own, parting, encoding.name)


def _known(
    name: str, lines: Sequence[str], asked: FileOptions
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
        if not isinstance(head, RecordError) and own_columns(_names(head)):
            return Parting(",", True), {}
    return None, {}


def _has_header(path: Path, rows: Sequence[Sequence[str]], asked: FileOptions) -> bool:
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


def _object(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):
        return None
