"""Team draft: two ranked lists become one list, and each item knows which version contributed it.

Radlinski, Kurup and Joachims 2008 ("How does clickthrough data reflect retrieval quality?"): in
each round a coin decides who picks first; then each version picks its best item that is not in the
list yet. So neither version has better places or more items than the other, on average over the
coins. The coins are drawn from the request's id, so anyone can draw them again.

Pure. Must not know what ranked the lists, or what users do with the result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from registry.ids import ItemId

Team: TypeAlias = Literal["primary", "canary"]

TEAMS: Final[tuple[Team, Team]] = ("primary", "canary")

BLOCK_BYTES: Final = 8
"""Coins are drawn 64 at a time, enough for an answer of 128 items; any number gives the same."""


class Pick(NamedTuple):
    """One item of the mixed list; ``team`` None: added after one list had ended, for nobody."""

    item_id: ItemId
    team: Team | None


def draft(
    primary: Sequence[ItemId], canary: Sequence[ItemId], k: int, coins: Iterator[bool]
) -> list[Pick]:
    """Return the mixed list: at most `k` items, none of them twice.

    The teams differ by at most one item, and each keeps the order of its list. When one list has
    ended, what is left of the other fills the answer up, and gets no team: as there is no choice
    between two versions any more, nobody may win by it.

    Parameters
    ----------
    primary, canary
        The versions' items, best first, none twice in a list.
    k
        Most items.
    coins
        One for each round, true if the canary version picks first; see `coins_of`.

    Examples
    --------
    >>> [(pick.item_id, pick.team) for pick in draft([1, 2, 3], [2, 4, 1], 3, iter([True, False]))]
    [(2, 'canary'), (1, 'primary'), (3, 'primary')]
    """
    mixed: dict[ItemId, Team | None] = {}
    left = [(item for item in items if item not in mixed) for items in (primary, canary)]
    while len(mixed) < k:
        of_primary, of_canary = (next(items, None) for items in left)
        if of_primary is None or of_canary is None:
            break
        canary_first = next(coins)
        first: ItemId
        second: ItemId | None
        first, second = (of_canary, of_primary) if canary_first else (of_primary, of_canary)
        mixed[first] = TEAMS[canary_first]
        if first == second:
            second = next(left[not canary_first], None)
        if second is not None and len(mixed) < k:
            mixed[second] = TEAMS[not canary_first]
    for item in (*primary, *canary):
        if len(mixed) >= k:
            break
        mixed.setdefault(item, None)
    return [Pick(item, team) for item, team in mixed.items()]


def coins_of(request_id: str, salt: str) -> Iterator[bool]:
    """Yield fair coins without end: a pure function of the request's id and the rollout's salt.

    The bits of SHAKE128 over ``salt:request_id``, each byte's lowest first.

    >>> coins = coins_of("r-1", "")
    >>> [next(coins) for _ in range(8)]
    [False, True, False, True, False, True, False, False]
    """
    seed = f"{salt}:{request_id}".encode()
    drawn = 0
    while True:
        stream = hashlib.shake_128(seed, usedforsecurity=False).digest(drawn + BLOCK_BYTES)
        bits = int.from_bytes(stream[drawn:], "little")
        yield from (bool(bits >> place & 1) for place in range(8 * BLOCK_BYTES))
        drawn += BLOCK_BYTES
