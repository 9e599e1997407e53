"""How many users an experiment needs for an effect, and how long they take to come. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Final

from msgspec import Struct

from registry.errors import ConfigurationError
from registry.guardrails.evidence import Sample, log_evidence_of_excess

MOST_USERS: Final = 10**10
"""More than there are people."""


class UsersNeeded(Struct, frozen=True):
    """Users of both arms together that a conversion experiment needs.

    Parameters
    ----------
    anytime
        To be checked at any time, as `registry.outcomes.arm_comparison` does.
    one_look
        By the classical test, which may be checked once, at the end; for comparison.
    """

    anytime: int
    one_look: int


def users_needed(
    baseline: float, better_by: float, alpha: float = 0.05, power: float = 0.8, share: float = 0.5
) -> UsersNeeded:
    """Return how many closed users show an effect on conversion.

    Where the estimate is worse than the truth by ``z(power)`` standard errors, the evidence must
    still reach ``2 / alpha``; by then it has with a probability of at least `power`, because it is
    looked at before as well.

    Parameters
    ----------
    baseline
        Conversion of the primary, 0..1 exclusive.
    better_by
        Relative effect: 0.1 for 10 % more; negative for less.
    alpha, power
        Of the comparison, 0..1 exclusive.
    share
        Of users that get the canary, 0..1 exclusive.

    Raises
    ------
    ConfigurationError
        If a figure is out of its range, or the effect leaves 0..1.

    Examples
    --------
    >>> users_needed(0.4, 0.1)
    UsersNeeded(anytime=22124, one_look=4773)
    """
    shifted = baseline * (1 + better_by)
    for name, value in (
        ("baseline", baseline), ("alpha", alpha), ("power", power), ("share", share),
        ("conversion with the effect", shifted),
    ):  # fmt: skip
        if not 0 < value < 1:
            raise ConfigurationError(f"{name} {value:g}: must be between 0 and 1, both exclusive")
    if not better_by:
        raise ConfigurationError("effect 0: no number of users shows that there is none")
    deviate = NormalDist().inv_cdf(power)
    needed = -math.log(alpha / 2)
    larger, smaller = max(baseline, shifted), min(baseline, shifted)
    share_larger = share if shifted > baseline else 1 - share

    def suffice(users: int) -> bool:
        in_larger, in_smaller = users * share_larger, users * (1 - share_larger)
        spread_larger = larger * (1 - larger) / in_larger
        spread_smaller = smaller * (1 - smaller) / in_smaller
        error = deviate / math.sqrt(spread_larger + spread_smaller)
        seen = Sample(in_larger * (larger - error * spread_larger), math.ceil(in_larger))
        other = Sample(in_smaller * (smaller + error * spread_smaller), math.ceil(in_smaller))
        return log_evidence_of_excess(seen, other, 0.0) >= needed and seen.mean > other.mean

    return UsersNeeded(_least(suffice), _one_look(larger, smaller, share_larger, alpha, power))


def _least(suffice: Callable[[int], bool]) -> int:
    """Return the least number that suffices: it is doubled, then halved in between."""
    high = 16
    while not suffice(high) and high < MOST_USERS:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffice(middle) else (middle, high)
    return high


def _one_look(larger: float, smaller: float, share: float, alpha: float, power: float) -> int:
    """Return the users of Fleiss' formula without pooling: ``(z_α/2 + z_β)² σ² / δ²``."""
    deviates = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(power)
    variance = larger * (1 - larger) / share + smaller * (1 - smaller) / (1 - share)
    return math.ceil(deviates**2 * variance / (larger - smaller) ** 2)
