"""From a file of titles to items; which of them change anything: `registry.catalogue.item_changes`.

Knows what a file's cells become in an item. Must not know Kafka nor the terminal. A bad line ends
the reading: half the items would not be missed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from ops.ingest.column_roles import Role
from ops.ingest.text_encoding import encoding_of
from ops.ingest.title_files import TitleRow, title_rows
from registry.errors import ConfigurationError, RecordError
from registry.ids import BLANKS, ItemId, parse_id
from registry.wire.training_records.catalogue_items import CatalogueItem

NO_GENRES: Final = "(no genres listed)"
"""What MovieLens writes instead of nothing."""


def read_items(
    path: Path,
    columns: Mapping[Role, str] | None = None,
    labels: Mapping[str, str] | None = None,
    *,
    separator: str = "|",
    quotes: bool = True,
) -> dict[ItemId, CatalogueItem]:
    """Return the items of a file; a label without values is there as well: it removes values.

    Parameters
    ----------
    path, columns, quotes
        As :func:`ops.ingest.title_files.read_titles` takes them.
    labels
        Columns by label; None: a column ``genres``, if there is one.
    separator
        Between the values of a label, in its cell.

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or at its first bad line.
    """
    encoding = encoding_of(path).name
    items: dict[ItemId, CatalogueItem] = {}
    for number, row in title_rows(path, columns, encoding, quotes=quotes, labels=labels):
        try:
            if isinstance(row, RecordError):
                raise row
            item = _item_of(row, separator)
        except (RecordError, msgspec.ValidationError) as error:
            raise ConfigurationError(f"{path}, line {number}: {error}") from error
        if items.setdefault(item.item_id, item) != item:
            raise ConfigurationError(
                f"{path}, line {number}: item {item.item_id!r} is there twice, differently: "
                f"{items[item.item_id].title!r}, then {item.title!r}"
            )
    return items


def _item_of(row: TitleRow, separator: str) -> CatalogueItem:
    """Return the item of a row, with all its labels; the bounds of its record are checked.

    An empty cell is a label without values: the record will lack it, so it counts for no bound.
    """
    labels = {label: _values(cell, separator) for label, cell in row.labels.items()}
    fields = {
        "item_id": parse_id(row.item),
        "title": row.title.strip(BLANKS) or None,
        "labels": {label: values for label, values in labels.items() if values},
    }
    return replace(msgspec.convert(fields, CatalogueItem), labels=labels)


def _values(cell: str | Sequence[str], separator: str) -> list[str]:
    if not isinstance(cell, str):
        return [*cell]
    if cell.strip(BLANKS) == NO_GENRES:
        return []
    return [value for part in cell.split(separator) if (value := part.strip(BLANKS))]
