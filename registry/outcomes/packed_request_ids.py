"""Request ids in few bytes: a UUID, as applications write it, in 16 instead of 36 or 32.

Pure. Packed ids are equal if and only if the ids are. Must not know what is found by them.
"""

from __future__ import annotations

from functools import lru_cache
from struct import pack, unpack_from
from typing import Final

NAME_HEAD: Final = 2
"""Bytes before a name: four times its length, and the spelling of a UUID, or 0 for any text."""

UUID_BYTES: Final = 16
UUID_IN_HEX: Final = 1
UUID_WITH_DASHES: Final = 2
UUID_HEADS: Final = [pack("<H", 4 * UUID_BYTES + spelling) for spelling in range(3)]
SPELLING_BY_LENGTH: Final = {32: UUID_IN_HEX, 36: UUID_WITH_DASHES}


def pack_request_id(request_id: str) -> bytes:
    """Return a request id with its head; of a UUID as applications write it, its 16 bytes.

    An answer's id has `registry.wire.field_types.ID_CHARACTERS` at most; the head has room for 20
    times as many.

    >>> unpack_request_id(pack_request_id("r-7"))
    'r-7'
    >>> len(pack_request_id("123e4567-e89b-12d3-a456-426614174000"))
    18
    """
    spelling = SPELLING_BY_LENGTH.get(len(request_id))
    if spelling:
        digits = request_id
        if spelling == UUID_WITH_DASHES and request_id[8:24:5] == "----":
            digits = request_id.replace("-", "")
        try:
            packed = bytes.fromhex(digits)
        except ValueError:
            packed = b""
        if len(packed) == UUID_BYTES and packed.hex() == digits:
            return UUID_HEADS[spelling] + packed
    name = request_id.encode()
    return _head(len(name)) + name


def unpack_request_id(packed: bytes) -> str:
    """Return the id of :func:`pack_request_id`."""
    spelling = packed[0] & 3
    name = packed[NAME_HEAD:]
    return _uuid(name, spelling) if spelling else name.decode()


def _uuid(packed: bytes, spelling: int) -> str:
    text = packed.hex()
    if spelling == UUID_IN_HEX:
        return text
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def packed_at(chunk: bytes | bytearray, place: int) -> bytes:
    """Return the packed id at a place among other bytes."""
    (head,) = unpack_from("<H", chunk, place)
    return bytes(chunk[place : place + NAME_HEAD + (head >> 2)])


@lru_cache(maxsize=1024)
def _head(length: int) -> bytes:
    return pack("<H", 4 * length)
