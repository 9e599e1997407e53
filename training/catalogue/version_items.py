"""A version's items as the items topic had them: its titles and labels, and what was read for them.

Pure. A compacted topic cannot be read again as it was, so the records that count are kept with the
version, as `ITEMS_FILE`; `recstream reproduce` takes them from there.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import msgspec

from registry.catalogue.item_labels import ItemLabels, labelled
from registry.errors import DamagedVersion
from registry.ids import ItemId, twin_of
from registry.wire.codec import encode
from registry.wire.training_records.catalogue_items import CatalogueItem
from training.data.matrix import Cells

ITEMS_FILE: Final = "items.jsonl.gz"
"""Of a version: the newest record of each of its items that has one, in the order of their rows."""

Find: TypeAlias = Callable[[ItemId], CatalogueItem | None]


@dataclass(frozen=True, slots=True)
class VersionItems:
    """The records of a version's items, in the order of their rows; not each item has one.

    ``mistyped`` items have one under the other JSON type only.
    """

    records: tuple[CatalogueItem, ...] = ()
    mistyped: int = 0

    @property
    def titled(self) -> int:
        """How many have a title."""
        return sum(record.title is not None for record in self.records)

    @property
    def labelled(self) -> int:
        """How many have a label."""
        return sum(any(record.labels.values()) for record in self.records)

    def entitle(self, cells: Cells) -> Cells:
        """Return the cells under the records' titles; an item without one keeps its title."""
        known = {record.item_id: record.title for record in self.records if record.title}
        pairs = zip(cells.item_ids, cells.titles, strict=True)
        return replace(cells, titles=tuple(known.get(item_id, title) for item_id, title in pairs))

    def labels(self, cells: Cells) -> ItemLabels | None:
        """Return the labels of the cells' items; None if none has any."""
        known = {record.item_id: record.labels for record in self.records if record.labels}
        found = labelled([known.get(item_id, {}) for item_id in cells.item_ids])
        return found if found.table else None


def items_of(cells: Cells, find: Find) -> VersionItems:
    """Return the records of the cells' items; `find` returns that of one."""
    found = {item_id: find(item_id) for item_id in cells.item_ids}
    twins = [twin_of(item_id) for item_id, record in found.items() if record is None]
    mistyped = sum(twin is not None and find(twin) is not None for twin in twins)
    return VersionItems(tuple(record for record in found.values() if record), mistyped)


def encode_items(items: VersionItems) -> bytes:
    """Return the records as `ITEMS_FILE` holds them; the same ones give the same bytes."""
    lines = b"".join(encode(record) + b"\n" for record in items.records)
    return gzip.compress(lines, mtime=0)


def decode_items(payload: bytes) -> VersionItems:
    """Return the records that :func:`encode_items` wrote.

    >>> decode_items(encode_items(VersionItems((CatalogueItem(1, "One"),)))).titled
    1

    Raises
    ------
    DamagedVersion
        If it did not.
    """
    try:
        lines = gzip.decompress(payload).splitlines()
        return VersionItems(tuple(msgspec.json.decode(line, type=CatalogueItem) for line in lines))
    except (OSError, EOFError, zlib.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedVersion(f"{ITEMS_FILE}: {error}") from error
