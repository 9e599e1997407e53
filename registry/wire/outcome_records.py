"""Outcomes (topic ``outcomes``): what users did with answers, and the sums that are compared.

Values and their sums only. The rules of the join are in `registry.outcomes.attribution`.
"""

from __future__ import annotations

from msgspec import Struct

from registry.ids import ItemId, UserId
from registry.wire.field_types import Variant


class ArmSums(Struct, frozen=True, omit_defaults=True):
    """Sums over the closed users of one arm: all that a comparison needs. They add up exactly.

    Parameters
    ----------
    users
        Users whose window has closed, ``n``.
    converted
        Of those, users with at least one outcome.
    x, y
        Sums of outcomes and of exposures.
    xx, xy, yy
        Sums of their squares and products, by user.
    """

    users: int = 0
    converted: int = 0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    yy: float = 0.0

    def add(self, other: ArmSums) -> ArmSums:
        """Return the sums over both groups of users, who must be different ones.

        >>> sums_of_user(2, 3).add(sums_of_user(0, 1))
        ArmSums(users=2, converted=1, x=2.0, y=4.0, xx=4.0, xy=6.0, yy=10.0)
        """
        return ArmSums(
            self.users + other.users,
            self.converted + other.converted,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.xy + other.xy,
            self.yy + other.yy,
        )


def sums_of_user(outcomes: float, exposures: int) -> ArmSums:
    """Return the sums of one user: `outcomes` by their values, `exposures` of which he had."""
    x, y = float(outcomes), float(exposures)
    return ArmSums(1, int(x > 0), x, y, x * x, x * y, y * y)


class CreditedAction(Struct, frozen=True):
    """An interaction that an answer got the credit for: one outcome.

    ``position`` is where the item was in the answer, from 0 on; ``value`` what it counts
    (``RECSTREAM_OUTCOME_EVENTS``); ``delay_seconds`` is from the answer to the interaction.
    """

    request_id: str
    item_id: ItemId
    position: int
    event: str
    value: float
    delay_seconds: float


class ClosedWindow(Struct, frozen=True):
    """A user's attribution window that has closed: it began at his first exposure, ``since``.

    ``outcomes`` are summed by their values; ``exposures`` are the answers within the window.
    """

    since: float
    outcomes: float
    exposures: int


class OutcomeRecord(Struct, frozen=True, omit_defaults=True):
    """One outcome, or one closed user (topic ``outcomes``, keyed by user id).

    Either `credit` or `closed` is given. A record may come more than once: a closed user is the
    same by environment, epoch and user; an outcome by these and request, item and event. The first
    counts. ``variant`` is the arm that the user was assigned to. Under ``interleave`` it is the one
    whose item the outcome is with, and, of a closed user, the one that he prefers: both are absent
    if he prefers neither. Times are in seconds since 1970, of the records that were joined.
    """

    environment: str
    epoch: int
    user_id: UserId
    variant: Variant | None
    model_version: str | None
    at: float
    credit: CreditedAction | None = None
    closed: ClosedWindow | None = None

    def __post_init__(self) -> None:
        if (self.credit is None) == (self.closed is None):
            raise ValueError("needs either `credit` or `closed`")


class PartitionSums(Struct, frozen=True, omit_defaults=True):
    """The closed users of one arm in one partition of the outcome topic, under one epoch.

    Under ``interleave`` they are those who prefer the version of ``variant``; null: neither.
    """

    epoch: int
    partition: int
    variant: Variant | None
    sums: ArmSums
