"""Records of the new-items topic: shares, which of them count, and vectors.

Values and their spelling only. Keys are for compaction: of each the newest record stays, and a
record without a value takes back what it said.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from registry.error_codes import RecordCode
from registry.errors import RecordError
from registry.ids import ItemId
from registry.new_items.item_shares import ItemShare, NewItem, ShareKey
from registry.wire.codec import decode

VECTORS: Final = 0
SHARES: Final = 1
"""The topic's partitions: every worker reads the vectors, only the owner of the control partition
the shares, which are a hundred times as large."""

MOST_FACTORS: Final = 512
"""Of a version with new items: the share of an item is then a record of 0.7 MB, and Kafka's usual
limit is 1 MB."""

FLOAT: Final = np.dtype("<f4")


class SharedSums(Struct, frozen=True):
    """What the users of one partition add to an item's equation.

    Parameters
    ----------
    partition
        Of the interaction topic.
    end
        Offset up to which it counts, exclusive.
    users
        How many users it sums up.
    matrix, vector
        As of :class:`registry.new_items.item_shares.ItemShare`: little-endian float32, in base64.
    """

    partition: int
    item_id: ItemId
    end: int
    users: int
    matrix: bytes
    vector: bytes


class CountedItems(Struct, frozen=True):
    """Of which items the shares of a partition count; `partition` and `end` as of the shares."""

    partition: int
    end: int
    item_ids: tuple[ItemId, ...]


class SolvedVector(Struct, frozen=True):
    """The vector of an item, and how many users it was learned from.

    ``vector`` holds little-endian float32, in base64.
    """

    item_id: ItemId
    users: int
    vector: bytes


class NewItemRecord(Struct, frozen=True, omit_defaults=True):
    """One record of the new-items topic, of a version: exactly one of the others is there."""

    version: str
    share: SharedSums | None = None
    counted: CountedItems | None = None
    solved: SolvedVector | None = None


class NewItemKey(Struct, frozen=True, array_like=True):
    """The key of a record: what it is, of which version, and of which partition and item."""

    kind: Literal["share", "counted", "solved"]
    version: str
    partition: int | None = None
    item_id: ItemId | None = None


def encode_key(key: NewItemKey) -> bytes:
    """Return a key as it is written.

    >>> encode_key(NewItemKey("solved", "v0.3", None, "a"))
    b'["solved","v0.3",null,"a"]'
    """
    return msgspec.json.encode(key)


def decode_key(key: bytes | None) -> NewItemKey:
    """Return what a key says.

    Raises
    ------
    RecordError
        If it is none.
    """
    return decode(NewItemKey, key)


def decode_record(payload: bytes | None) -> NewItemRecord:
    """Return what a record says.

    Raises
    ------
    RecordError
        If it is none, or says several things.
    """
    record = decode(NewItemRecord, payload)
    kinds = [part for part in (record.share, record.counted, record.solved) if part is not None]
    if len(kinds) != 1:
        raise _invalid(f"{len(kinds)} of share, counted and solved; exactly one is needed")
    return record


def key_of_record(record: NewItemRecord) -> NewItemKey:
    """Return the key under which a record is written."""
    if record.share is not None:
        share = record.share
        return NewItemKey("share", record.version, share.partition, share.item_id)
    if record.counted is not None:
        return NewItemKey("counted", record.version, record.counted.partition)
    assert record.solved is not None  # `decode_record`
    return NewItemKey("solved", record.version, None, record.solved.item_id)


def partition_of_kind(kind: str) -> int:
    """Return the topic's partition for records of a kind.

    >>> partition_of_kind("solved"), partition_of_kind("share"), partition_of_kind("counted")
    (0, 1, 1)
    """
    return VECTORS if kind == "solved" else SHARES


def record_of_share(share: ItemShare) -> NewItemRecord:
    """Return a share as a record."""
    key = share.key
    return NewItemRecord(
        key.version,
        share=SharedSums(
            key.partition,
            key.item_id,
            share.end,
            share.users,
            _bytes(share.triangle),
            _bytes(share.vector),
        ),
    )


def share_of_record(version: str, sums: SharedSums) -> ItemShare:
    """Return a record's share.

    Raises
    ------
    RecordError
        If its arrays do not fit, or are not finite.
    """
    vector, triangle = _floats(sums.vector), _floats(sums.matrix)
    factors = len(vector)
    if len(triangle) != factors * (factors + 1) // 2:
        raise _invalid(f"{len(triangle)} numbers of a matrix do not fit {factors} factors")
    key = ShareKey(version, sums.partition, sums.item_id)
    return ItemShare(key, sums.end, sums.users, triangle, vector)


def record_of_vector(version: str, item_id: ItemId, item: NewItem) -> NewItemRecord:
    """Return a vector as a record."""
    return NewItemRecord(version, solved=SolvedVector(item_id, item.users, _bytes(item.vector)))


def vector_of_record(solved: SolvedVector) -> NewItem:
    """Return a record's vector.

    Raises
    ------
    RecordError
        If it is not finite.
    """
    return NewItem(solved.users, _floats(solved.vector))


def _bytes(numbers: NDArray[Any]) -> bytes:
    return numbers.astype(FLOAT).tobytes()


def _floats(raw: bytes) -> NDArray[np.float32]:
    if not raw or len(raw) % FLOAT.itemsize:
        raise _invalid(f"{len(raw)} bytes are no float32 numbers")
    found = np.frombuffer(raw, FLOAT)
    if not np.isfinite(found).all():
        raise _invalid("holds numbers that are not finite")
    return found.astype(np.float32, copy=False)


def _invalid(why: str) -> RecordError:
    return RecordError(f"NewItemRecord: {why}", RecordCode.INVALID)
