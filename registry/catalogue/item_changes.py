"""Changes of items: what one record of the items topic says, and which ones a loaded file makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from msgspec.structs import replace

from registry.catalogue.item_keys import id_of, require_own_key
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
        If it is not an item, has a key that is not its id's, or an id beyond 64 bits.
    """
    if value is None:
        return ItemChange(id_of(key), None)
    item = decode(CatalogueItem, value, MAX_ITEM_BYTES)
    item_id = item.item_id
    if isinstance(item_id, int) and not LEAST_INTEGER <= item_id <= MOST_INTEGER:
        raise RecordError(
            f"CatalogueItem: item_id {item_id}, must have 64 bits", RecordCode.OUT_OF_RANGE
        )
    require_own_key(item_id, key)
    return ItemChange(item_id, item)


def changes(
    items: Iterable[CatalogueItem], find: Callable[[ItemId], CatalogueItem | None]
) -> Iterator[CatalogueItem]:
    """Yield the items that the topic has not, or has otherwise, as they are to be.

    Title and labels are the file's; a title that the file lacks, labels that it does not name, and
    what is withdrawn stay as `find` has them. A label without values is removed.

    >>> known = CatalogueItem(1, "Uno", {"region": ["eu"]}, withdrawn=True)
    >>> list(changes([CatalogueItem(1, "One", {"genre": ["Drama"]})], {1: known}.get))[0].labels
    {'region': ['eu'], 'genre': ['Drama']}
    """
    for item in items:
        known = find(item.item_id)
        base = known or CatalogueItem(item.item_id)
        merged = {**base.labels, **item.labels}
        labels = {label: values for label, values in merged.items() if values}
        wanted = replace(base, title=item.title or base.title, labels=labels)
        if wanted != known:
            yield wanted
