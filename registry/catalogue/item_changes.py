"""The change in one record of the items topic: an item's new values, or its removal."""

from __future__ import annotations

from typing import Final, NamedTuple

from registry.catalogue.item_keys import id_of, key_of
from registry.error_codes import RecordCode
from registry.errors import RecordError
from registry.ids import LEAST_INTEGER, MOST_INTEGER, ItemId
from registry.wire.codec import decode
from registry.wire.training_records.catalogue_items import CatalogueItem

MAX_ITEM_BYTES: Final = 500_000
"""The largest item that its bounds allow stays below it."""


class ItemChange(NamedTuple):
    """An item's newest record; ``item`` is None where the record removes it."""

    item_id: ItemId
    item: CatalogueItem | None


def change_of(key: bytes | None, value: bytes | None) -> ItemChange:
    """Return what a record says.

    >>> change_of(b"7", b'{"item_id": 7, "title": "Seven"}').item.title
    'Seven'
    >>> change_of(b"7", None)
    ItemChange(item_id=7, item=None)

    Raises
    ------
    RecordError
        If it is no item, has a key that is not its id's, or an id beyond 64 bits.
    """
    if value is None:
        return ItemChange(id_of(key), None)
    item = decode(CatalogueItem, value, MAX_ITEM_BYTES)
    item_id = item.item_id
    if isinstance(item_id, int) and not LEAST_INTEGER <= item_id <= MOST_INTEGER:
        raise RecordError(
            f"CatalogueItem: item_id {item_id}, must have 64 bits", RecordCode.OUT_OF_RANGE
        )
    if key_of(item_id) != key:
        raise RecordError(
            f"CatalogueItem: the key of item_id {item_id!r} must be {key_of(item_id)!r}, "
            f"it is {key!r}",
            RecordCode.INVALID,
        )
    return ItemChange(item_id, item)
