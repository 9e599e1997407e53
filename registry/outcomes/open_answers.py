"""Answers that may still get the credit for what a user did, packed: there are up to millions.

Pure. Knows which of them showed an item, under which request; must not know when one expires or
what becomes of a credit (`registry.outcomes.attribution`). As Python objects, an answer of ten
items would take more than a kilobyte; in a log of bytes it takes less than a hundred. Each names
the place of its user's answer before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from hashlib import blake2b
from struct import Struct, error, pack, unpack_from
from typing import Final, Generic, NamedTuple, TypeVar, get_args

from registry.ids import ItemId, UserId
from registry.outcomes.packed_request_ids import pack_request_id, packed_at, unpack_request_id
from registry.wire.field_types import ID_CHARACTERS, Variant

HEAD: Final = Struct("<qqHB")
"""Of one answer: where its user's answer before it is, its time, its items, and the flags below.
Its name, items and, of a mixed one, an arm for each item follow."""

_pack_head: Final = HEAD.pack

COUNTS: Final = 1
MIXED: Final = 2
WIDE_ITEMS: Final = 4
"""Flags: somebody may get the credit; each item has an arm of its own; items take 8 bytes each."""

CHUNK_BITS: Final = 18
CHUNK_BYTES: Final = 1 << CHUNK_BITS
"""An answer begins within so many bytes of its chunk; a chunk goes when its answers have gone."""

NOWHERE: Final = -1

MANY: Final = 128
"""Answers of one user that are looked through for a request id; of one with more, the ids are kept
beside. Fewer would keep the ids of ordinary users, 100 bytes each; more make each of his answers
take longer, by half a microsecond each."""

ARMS: Final[tuple[Variant | None, ...]] = (None, *get_args(Variant))
"""As one byte each."""

WIDE: Final = range(-(2**63), 2**63)
"""Item ids that are kept as they are, in 4 or 8 bytes; of others, a digest of 8 bytes."""


class Asker:
    """A user as his answers know him: where his latest is, and the names of many."""

    __slots__ = ("latest", "names", "user_id")

    def __init__(self, user_id: UserId) -> None:
        self.user_id = user_id
        self.latest = NOWHERE
        self.names: set[bytes] | None = None  # of one with `MANY`


A = TypeVar("A", bound=Asker)


class OpenAnswer(NamedTuple):
    """An answer that showed an item, at ``position`` from 0 on; its time in milliseconds.

    It ``counts`` if somebody gets the credit: where it ``is_mixed``, the arm that contributed the
    item, ``team``; else its user's own. ``place`` is no other answer's.
    """

    user_id: UserId
    request_id: str
    at: int
    position: int
    counts: bool
    is_mixed: bool = False
    team: Variant | None = None
    place: int = 0


class OpenAnswers(Generic[A]):
    """The answers of all users, in the order in which they were added and are forgotten.

    Attributes
    ----------
    oldest_at
        The time of the oldest; None without any.
    """

    def __init__(self) -> None:
        self._chunks: dict[int, bytes | bytearray] = {0: bytearray()}
        self._last_chunk = 0
        self._oldest = 0
        self._askers: deque[A] = deque()  # of each answer
        self.oldest_at: int | None = None

    def __len__(self) -> int:
        return len(self._askers)

    def add(
        self,
        asker: A,
        request_id: str,
        items: tuple[ItemId, ...],
        teams: tuple[Variant | None, ...],
        counts: bool,
        at: int,
    ) -> bool:
        """Add an answer; False if one with its request id already exists.

        Its items are its user's arm's, or each of the arm in `teams`, if there are any.
        """
        name, before = pack_request_id(request_id), asker.latest
        if before >= self._oldest and self._has(asker, name):
            return False
        flags, count = COUNTS if counts else 0, len(items)
        try:
            packed = _pack_items(count)(*items)
        except error:  # a text, or a number of more than 4 bytes
            packed, flags = pack(f"<{count}q", *map(_wide, items)), flags | WIDE_ITEMS
        if teams:
            packed, flags = packed + bytes(map(ARMS.index, teams)), flags | MIXED
        chunk = self._chunks[self._last_chunk]
        if len(chunk) >= CHUNK_BYTES:
            chunk = self._next_chunk()
        assert isinstance(chunk, bytearray)  # the last one is
        asker.latest = (self._last_chunk << CHUNK_BITS) + len(chunk)
        chunk += _pack_head(before, at, count, flags) + name + packed
        self._askers.append(asker)
        if self.oldest_at is None:
            self.oldest_at = at
        if asker.names is not None:
            asker.names.add(name)
        return True

    def drop_oldest(self) -> tuple[A, int]:
        """Forget the oldest answer; return whose it was, and its place."""
        asker, place = self._askers.popleft(), self._oldest
        chunk, offset = self._chunks[place >> CHUNK_BITS], place & (CHUNK_BYTES - 1)
        _, _, items, flags = HEAD.unpack_from(chunk, offset)
        name = packed_at(chunk, offset + HEAD.size)
        if asker.latest == place:
            asker.latest, asker.names = NOWHERE, None
        elif asker.names is not None:
            asker.names.discard(name)
        self._oldest = place + _size(len(name), items, flags)
        if offset + _size(len(name), items, flags) >= len(chunk):
            if place >> CHUNK_BITS == self._last_chunk:
                self._next_chunk()
            del self._chunks[place >> CHUNK_BITS]
            self._oldest = (place >> CHUNK_BITS) + 1 << CHUNK_BITS
        self.oldest_at = self._time_at(self._oldest) if self._askers else None
        return asker, place

    def latest_with(self, asker: A, item_id: ItemId, request_id: object) -> OpenAnswer | None:
        """Return the user's latest answer that showed an item; of `request_id`, unless it is None.

        An id that is not a string, or is longer than any answer's, names none.
        """
        name = None
        if request_id is not None:
            if not isinstance(request_id, str) or len(request_id) > ID_CHARACTERS:
                return None
            name = pack_request_id(request_id)
        wanted = {False: _pack_narrow(item_id), True: pack("<q", _wide(item_id))}
        for place, chunk, name_at in self._back_from(asker.latest):
            own = packed_at(chunk, name_at)
            if name not in (None, own):
                continue
            _, at, items, flags = HEAD.unpack_from(chunk, name_at - HEAD.size)
            is_wide, is_mixed = bool(flags & WIDE_ITEMS), bool(flags & MIXED)
            first = name_at + len(own)
            end = first + items * (8 if is_wide else 4)
            position = _position(wanted[is_wide], chunk, first, end)
            if position is not None:
                team = ARMS[chunk[end + position]] if is_mixed else None
                return OpenAnswer(
                    asker.user_id, unpack_request_id(own), at, position,
                    bool(flags & COUNTS), is_mixed, team, place,
                )  # fmt: skip
        return None

    def _has(self, asker: A, name: bytes) -> bool:
        """Tell whether a user has an answer of this name."""
        if asker.names is not None:
            return name in asker.names
        count = 0
        for _, chunk, name_at in self._back_from(asker.latest):
            if chunk.startswith(name, name_at):
                return True
            count += 1
        if count >= MANY:
            asker.names = {
                packed_at(chunk, name_at) for _, chunk, name_at in self._back_from(asker.latest)
            }
        return False

    def _next_chunk(self) -> bytearray:
        last = self._last_chunk
        self._chunks[last] = bytes(self._chunks[last])  # as large as it is, and no larger
        self._last_chunk = last + 1
        self._chunks[self._last_chunk] = chunk = bytearray()
        return chunk

    def _back_from(self, place: int) -> Iterator[tuple[int, bytes | bytearray, int]]:
        """Yield the answer at `place` and its user's before it: place, chunk, and its name's."""
        while place >= self._oldest:
            chunk, offset = self._chunks[place >> CHUNK_BITS], place & (CHUNK_BYTES - 1)
            yield place, chunk, offset + HEAD.size
            (place,) = unpack_from("<q", chunk, offset)

    def _time_at(self, place: int) -> int:
        at: int
        _, at = unpack_from("<qq", self._chunks[place >> CHUNK_BITS], place & (CHUNK_BYTES - 1))
        return at


def _size(name: int, items: int, flags: int) -> int:
    """Return the bytes of an answer whose name takes `name` of them."""
    each = (8 if flags & WIDE_ITEMS else 4) + (1 if flags & MIXED else 0)
    return HEAD.size + name + items * each


def _position(wanted: bytes | None, chunk: bytes | bytearray, first: int, end: int) -> int | None:
    """Return the position of a packed item among those of an answer; None if it is not there."""
    if wanted is None:
        return None
    width = len(wanted)
    at = chunk.find(wanted, first, end)
    while at >= 0 and (at - first) % width:  # the end of one item and the beginning of the next
        at = chunk.find(wanted, at + 1, end)
    return None if at < 0 else (at - first) // width


@lru_cache(maxsize=1024)
def _pack_items(items: int) -> Callable[..., bytes]:
    return Struct(f"<{items}i").pack


def _pack_narrow(item_id: ItemId) -> bytes | None:
    try:
        return pack("<i", item_id)
    except error:
        return None


def _wide(item_id: ItemId) -> int:
    if isinstance(item_id, str):
        return hash(item_id)  # of 64 bits, by a key of this process: nobody can choose equal ones
    if item_id in WIDE:
        return item_id
    digest = blake2b(repr(item_id).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
