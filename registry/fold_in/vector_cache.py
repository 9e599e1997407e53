"""The vector cache: what was solved for a user, until he does something else.

Holds values only; must not know how they are made. Any number of threads may use it: two that
solve for the same user at once come to the same.
"""

from __future__ import annotations

from threading import Lock
from typing import Final

from registry.fresh.version_window import FreshUser
from registry.ids import UserId

MOST: Final = 20_000
"""Users that are kept: some 20 MB with 64 factors and 50 items each. Beyond, those go who were
solved for the longest ago; they cost their 20 µs once more."""


class VectorCache:
    """What is fresh of the users of one version, as it was last solved for.

    Examples
    --------
    >>> cache = VectorCache()
    >>> cache.keep(7, (1, 2), FreshUser())
    >>> cache.of(7, (1, 2)) is not None, cache.of(7, (2, 5))
    (True, None)
    """

    def __init__(self) -> None:
        self._kept: dict[UserId, tuple[tuple[int, ...], FreshUser]] = {}
        self._keeping = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, user_id: UserId, mark: tuple[int, ...]) -> FreshUser | None:
        """Return what was kept under this mark; None: nothing, or under another."""
        found = self._kept.get(user_id)
        return found[1] if found is not None and found[0] == mark else None

    def keep(self, user_id: UserId, mark: tuple[int, ...], user: FreshUser) -> None:
        """Keep what was solved for, in the place of what was before."""
        kept = self._kept
        with self._keeping:
            kept.pop(user_id, None)
            if len(kept) >= MOST:
                del kept[next(iter(kept))]
            kept[user_id] = (mark, user)
