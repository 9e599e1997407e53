"""Reading interactions from files with a given layout.

Knows how a file of each kind is read. Must not know Kafka nor the terminal. A line that cannot be
used comes out as a :class:`BadLine` in its place, so that the caller counts, shows and decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec.structs import replace

from ops.ingest.delimited_text import rows_of
from ops.ingest.file_layout import Layout, layout_of
from ops.ingest.interaction_rows import RowReader, TypedRowReader
from ops.ingest.text_encoding import lines_of
from registry.error_codes import RecordCode
from registry.errors import ConfigurationError, RecordError
from registry.ids import ItemId
from registry.wire.codec import decode
from registry.wire.training_records.interactions import Interaction

ROWS_AT_ONCE: Final = 10_000

Numbered: TypeAlias = "Iterator[tuple[int, Any]]"
"""Of each line or row its number, from 1, and its content: cells, a string, or why it has none."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line, or a row, that cannot be used: its number, from 1, and why."""

    number: int
    reason: str


def read_interactions(
    path: Path,
    titles: Mapping[ItemId, str] | None = None,
    layout: Layout | None = None,
    noticed: Counter[str] | None = None,
) -> Iterator[Interaction | BadLine]:
    """Yield the interactions of a file, and its bad lines, in order; blank lines are nothing.

    Parameters
    ----------
    path
        The file.
    titles
        Titles by item id. To keep the records small, a title goes with the first interaction of
        its item only.
    layout
        How to read it; None for a format that needs no question.
    noticed
        Counts what is worth a warning.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or `layout` is None and something would have to be guessed.
    """
    layout = layout or _certain(path)
    unsent = dict(titles or {})
    for found in _parsed(path, layout, Counter() if noticed is None else noticed):
        item = found.item_id if isinstance(found, Interaction) else None
        if isinstance(found, Interaction) and item in unsent:
            yield replace(found, title=unsent.pop(item))
        else:
            yield found


def _certain(path: Path) -> Layout:
    layout = layout_of(path)
    if layout.guessed:
        raise ConfigurationError(
            f"{path}: {layout.seen}; the {' and the '.join(layout.guessed)} would be guessed"
        )
    return layout


def _parsed(path: Path, layout: Layout, noticed: Counter[str]) -> Iterator[Interaction | BadLine]:
    parse, numbered = _reader(path, layout, noticed)
    for number, content in numbered:
        try:
            if isinstance(content, RecordError):
                raise content
            yield parse(content)
        except RecordError as error:
            yield BadLine(number, str(error))


def _reader(
    path: Path, layout: Layout, noticed: Counter[str]
) -> tuple[Callable[[Any], Interaction], Numbered]:
    """Return what makes an interaction of a line's content, and the numbered contents."""
    if layout.kind == "records":
        return partial(decode, Interaction), _json_lines(path, layout)
    reader = RowReader if layout.kind == "delimited" else TypedRowReader
    read = reader(layout.names, layout.places, layout.event, layout.unit, noticed).read
    if layout.kind == "parquet":
        return read, _table_rows(path, layout)
    return read, _object_rows(path, layout) if layout.kind == "objects" else _rows(path, layout)


def _rows(path: Path, layout: Layout) -> Numbered:
    width = len(layout.names)
    rows = rows_of(lines_of(path, layout.encoding), layout.parting)
    if layout.has_header:
        with suppress(StopIteration):
            next(rows)
    against = "the header has" if layout.has_header else "the first rows have"
    for number, row in rows:
        if isinstance(row, RecordError) or len(row) == width:
            yield number, row
        else:
            amount = "few" if len(row) < width else "many"
            why = f"too {amount} columns: {len(row)}, {against} {width}"
            yield number, RecordError(why, RecordCode.MALFORMED)


def _json_lines(path: Path, layout: Layout) -> Numbered:
    for number, line in enumerate(lines_of(path, layout.encoding), 1):
        if text := line.strip(" \t\r\n\ufeff"):
            yield number, text.encode("utf-8", "surrogateescape")


def _object_rows(path: Path, layout: Layout) -> Numbered:
    for number, line in _json_lines(path, layout):
        try:
            found = msgspec.json.decode(line, type=dict[str, Any])
            yield number, [found.get(name) for name in layout.names]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            yield number, RecordError(f"not a JSON object in UTF-8: {error}", RecordCode.MALFORMED)


def _table_rows(path: Path, layout: Layout) -> Numbered:
    used = sorted(layout.places.values())
    names = [layout.names[place] for place in used]
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=names):
                columns = [batch.column(name).to_pylist() for name in names]
                for cells in zip(*columns, strict=True):
                    number += 1
                    row: list[object] = [None] * len(layout.names)
                    for place, cell in zip(used, cells, strict=True):
                        row[place] = cell
                    yield number, row
    except (pa.ArrowException, OSError) as error:
        raise ConfigurationError(f"{path}: not readable: {error}") from error
