"""Keys of the items topic: one for each item, so that compaction keeps each item's newest record.

An integer is written as its digits, a string as itself, in UTF-8. A string that looks like an
integer, or that begins with a quotation mark, is quoted as JSON.
"""

from __future__ import annotations

import msgspec

from registry.error_codes import RecordCode
from registry.errors import RecordError
from registry.ids import ItemId, parse_id

QUOTE = '"'


def key_of(item_id: ItemId) -> bytes:
    """Return the key of an item's records.

    >>> key_of(42), key_of("sku-1"), key_of("42")
    (b'42', b'sku-1', b'"42"')
    """
    if isinstance(item_id, int):
        return str(item_id).encode()
    if item_id.startswith(QUOTE) or isinstance(parse_id(item_id), int):
        return msgspec.json.encode(item_id)
    return item_id.encode()


def id_of(key: bytes | None) -> ItemId:
    """Return the item that a record's key names.

    >>> id_of(b"42"), id_of(b"sku-1"), id_of(b'"42"')
    (42, 'sku-1', '42')

    Raises
    ------
    RecordError
        If it names none, or is not spelled as :func:`key_of` does: two keys of an item would both
        survive compaction.
    """
    try:
        text = (key or b"").decode()
        item_id = (
            msgspec.json.decode(text, type=str) if text.startswith(QUOTE) else _untyped_id(text)
        )
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise RecordError(
            f"CatalogueItem: the key {key!r} is not an item id: {error}", RecordCode.INVALID
        ) from error
    if not item_id and item_id != 0:
        raise RecordError(
            "CatalogueItem: the key is empty; it must be an item id", RecordCode.EMPTY
        )
    if key_of(item_id) != key:
        raise RecordError(
            f"CatalogueItem: the key {key!r} must be spelled {key_of(item_id)!r}",
            RecordCode.INVALID,
        )
    return item_id


def require_own_key(item_id: ItemId, key: bytes | None) -> None:
    """Refuse an item's record with a key that is not its own.

    Raises
    ------
    RecordError
        With code ``invalid``.
    """
    if key_of(item_id) != key:
        raise RecordError(
            f"CatalogueItem: the key of item_id {item_id!r} must be {key_of(item_id)!r}, "
            f"it is {key!r}",
            RecordCode.INVALID,
        )


def _untyped_id(text: str) -> ItemId:
    found = parse_id(text)
    return found if isinstance(found, int) else text
