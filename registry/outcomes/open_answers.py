"""Answers that may still get the credit for what a user did, packed: there are up to millions.

Pure. Knows which of them showed an item, under which request; must not know when one expires or
what becomes of a credit (`registry.outcomes.attribution`). As Python objects, an answer of ten
items would take more than a kilobyte; in a log of bytes it takes about a hundred. Each names the
place of its user's answer before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from hashlib import blake2b
from struct import Struct, pack
from typing import Final, NamedTuple, get_args

from registry.ids import ItemId, UserId
from registry.wire.field_types import Variant

HEAD: Final = Struct("<qqBHH??")
"""Of one answer: where its user's answer before it is, its time, its arm, the bytes of its request
id, its items, whether these take 8 bytes each, and whether each has an arm of its own. Request id,
items and arms follow."""

CHUNK_BYTES: Final = 2**18
"""An answer begins within so many bytes of its chunk; a chunk goes when its answers have gone."""

NOWHERE: Final = -1

MANY: Final = 128
"""Answers of one user that are looked through for a request id; of one with more, the ids are kept
beside. Fewer would keep the ids of ordinary users, 100 bytes each; more make each of his answers
take longer, by a microsecond each."""

ARMS: Final[tuple[Variant | None, ...]] = (None, *get_args(Variant))
"""As one byte each."""

NARROW: Final = range(-(2**31), 2**31)
WIDE: Final = range(-(2**63), 2**63)
"""Item ids that are kept as they are, in 4 and in 8 bytes; of others, a digest of 8 bytes."""


class OpenAnswer(NamedTuple):
    """An answer that showed an item, at ``position`` from 0 on; its time in milliseconds.

    ``variant`` is the arm that gets the credit for that item, None if nobody does; an answer that
    ``is_mixed`` was made by two.
    """

    user_id: UserId
    request_id: str
    at: int
    position: int
    variant: Variant | None
    is_mixed: bool


class _Packed(NamedTuple):
    """An answer in its chunk, and where its user's answer before it is."""

    chunk: bytes | bytearray
    before: int
    at: int
    arm: int
    request_id: bytes
    items_at: int
    items: int
    is_wide: bool
    teams_at: int
    is_mixed: bool
    end: int


class OpenAnswers:
    """The answers of all users, in the order in which they were added and are forgotten."""

    def __init__(self) -> None:
        self._chunks: deque[bytes | bytearray] = deque([bytearray()])
        self._first_chunk = 0
        self._oldest = 0
        self._latest_by_user: dict[UserId, int] = {}
        self._names_by_user: dict[UserId, set[bytes]] = {}  # of those with `MANY`
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(
        self,
        user_id: UserId,
        request_id: str,
        items: tuple[ItemId, ...],
        variant: Variant | None,
        teams: tuple[Variant | None, ...],
        at: int,
    ) -> bool:
        """Add an answer; False if one with its request id already exists.

        Its arm is `variant`, or each item's in `teams`, if there are any.
        """
        name = request_id.encode()
        before = self._latest_by_user.get(user_id, NOWHERE)
        if self._has(user_id, before, name):
            return False
        is_wide = not all(type(item) is int and item in NARROW for item in items)
        arm = ARMS.index(variant)
        head = HEAD.pack(before, at, arm, len(name), len(items), is_wide, bool(teams))
        teams_packed = bytes(map(ARMS.index, teams))
        packed = b"".join((head, name, _pack_items(items, is_wide), teams_packed))
        self._latest_by_user[user_id] = self._append(packed)
        if user_id in self._names_by_user:
            self._names_by_user[user_id].add(name)
        self._count += 1
        return True

    def oldest_at(self) -> int:
        """Return the time of the oldest answer."""
        return self._read(self._oldest).at

    def drop_oldest(self, user_id: UserId) -> str:
        """Forget the oldest answer, which is the user's; return its request id."""
        oldest = self._read(self._oldest)
        if self._latest_by_user[user_id] == self._oldest:
            del self._latest_by_user[user_id]
            self._names_by_user.pop(user_id, None)
        elif user_id in self._names_by_user:
            self._names_by_user[user_id].discard(oldest.request_id)
        self._count -= 1
        self._oldest = self._first_chunk * CHUNK_BYTES + oldest.end
        if oldest.end >= len(oldest.chunk):
            if len(self._chunks) == 1:
                self._chunks.append(bytearray())
            self._chunks.popleft()
            self._first_chunk += 1
            self._oldest = self._first_chunk * CHUNK_BYTES
        return oldest.request_id.decode()

    def latest_with(
        self, user_id: UserId, item_id: ItemId, request_id: object
    ) -> OpenAnswer | None:
        """Return the user's latest answer that showed an item; of `request_id`, unless it is None.

        An id of a request that is not a string names none.
        """
        name = request_id.encode() if isinstance(request_id, str) else None
        if request_id is not None and name is None:
            return None
        narrow = pack("<i", item_id) if type(item_id) is int and item_id in NARROW else None
        wide = pack("<q", _wide(item_id))
        for each in self._back_from(self._latest_by_user.get(user_id, NOWHERE)):
            wanted = wide if each.is_wide else narrow
            if wanted is None or name not in (None, each.request_id):
                continue
            position = _position(wanted, each)
            if position is not None:
                arm = each.chunk[each.teams_at + position] if each.is_mixed else each.arm
                named = each.request_id.decode()
                return OpenAnswer(user_id, named, each.at, position, ARMS[arm], each.is_mixed)
        return None

    def _has(self, user_id: UserId, latest: int, name: bytes) -> bool:
        """Tell whether the user, whose latest answer is at `latest`, has one of this name."""
        names = self._names_by_user.get(user_id)
        if names is None:
            names = {each.request_id for each in self._back_from(latest)}
            if len(names) >= MANY:
                self._names_by_user[user_id] = names
        return name in names

    def _append(self, packed: bytes) -> int:
        """Add to the log; return where it is."""
        chunk = self._chunks[-1]
        if len(chunk) >= CHUNK_BYTES:
            self._chunks[-1] = bytes(chunk)  # as large as it is, and no larger
            chunk = bytearray()
            self._chunks.append(chunk)
        place = (self._first_chunk + len(self._chunks) - 1) * CHUNK_BYTES + len(chunk)
        assert isinstance(chunk, bytearray)  # the last one is
        chunk += packed
        return place

    def _back_from(self, place: int) -> Iterator[_Packed]:
        """Yield the answer at `place` and its user's before it, the latest first."""
        while place >= self._oldest:
            packed = self._read(place)
            yield packed
            place = packed.before

    def _read(self, place: int) -> _Packed:
        number, offset = divmod(place, CHUNK_BYTES)
        chunk = self._chunks[number - self._first_chunk]
        before, at, arm, named, items, is_wide, is_mixed = HEAD.unpack_from(chunk, offset)
        name_at = offset + HEAD.size
        items_at = name_at + named
        teams_at = items_at + items * (8 if is_wide else 4)
        end = teams_at + items * is_mixed
        name = bytes(chunk[name_at:items_at])
        return _Packed(
            chunk, before, at, arm, name, items_at, items, is_wide, teams_at, is_mixed, end
        )


def _position(wanted: bytes, answer: _Packed) -> int | None:
    """Return the position of a packed item in an answer; None if it is not there."""
    width, first = len(wanted), answer.items_at
    at = answer.chunk.find(wanted, first, answer.teams_at)
    while at >= 0 and (at - first) % width:  # the end of one item and the beginning of the next
        at = answer.chunk.find(wanted, at + 1, answer.teams_at)
    return None if at < 0 else (at - first) // width


def _shape(items: int, is_wide: bool) -> str:
    return f"<{items}{'q' if is_wide else 'i'}"


def _pack_items(items: tuple[ItemId, ...], is_wide: bool) -> bytes:
    return pack(_shape(len(items), is_wide), *(map(_wide, items) if is_wide else items))


def _wide(item_id: ItemId) -> int:
    if type(item_id) is int and item_id in WIDE:
        return item_id
    digest = blake2b(repr(item_id).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
