"""Distinct users of each arm: how many different ones got answers, up to a limit. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Set
from typing import Final

from registry.ids import UserId
from registry.wire.field_types import Variant

USERS_COUNTED: Final = 100_000
"""Different users that one worker counts under one state, in all arms; some 10 MB. The split of
the first hundred thousand tells as much as that of all."""


class DistinctUsers:
    """The users of each arm of one epoch."""

    def __init__(self) -> None:
        self._users: defaultdict[str, set[UserId]] = defaultdict(set)

    def note(self, users_by_arm: Mapping[Variant, Set[UserId]]) -> None:
        """Note the users of all arms of a batch, or of none: the split must stay theirs."""
        if sum(map(len, self._users.values())) < USERS_COUNTED:
            for variant, users in users_by_arm.items():
                self._users[variant] |= users

    def count(self, variant: str) -> int:
        """Return how many different users an arm had."""
        return len(self._users.get(variant, ()))
