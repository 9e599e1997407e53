"""Outcomes (topic ``outcomes``): what users did with answers, and the sums that are compared.

Values and their sums only. The rules of the join are in `registry.outcomes.attribution`.
"""

from __future__ import annotations

from msgspec import Struct


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
