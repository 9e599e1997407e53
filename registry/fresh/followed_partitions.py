"""Following: which partitions of the interactions a worker reads, and from where.

Pure: numbers in, numbers out. A user's requests and interactions have one key, and so one hash h.
With R partitions of requests and I of interactions, they are in ``h mod R`` and ``h mod I``, and
these two agree modulo every common divisor of R and I. So all that the users of request partition
p did is in the interaction partitions q with q ≡ p modulo the greatest one. As a rule R = I, and q
is p alone. While a version is resident whose snapshot is older than a growth of the topic, the
number of partitions before is one of those that must agree: interactions from before the growth
are then found, too, and users lose nothing. Must not know who chooses the partition, or how.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import gcd
from typing import NamedTuple


class Following(NamedTuple):
    """What to follow.

    Parameters
    ----------
    starts
        By partition of the interaction topic: the offset from which on.
    meeting
        By partition of the request topic: where its users' interactions may be, ascending.
    """

    starts: Mapping[int, int]
    meeting: Mapping[int, tuple[int, ...]]


def plan_following(
    served: Collection[int],
    requests: int,
    interactions: int,
    ends: Collection[Mapping[int, int]],
    *,
    everything: bool = False,
) -> Following:
    """Return what a worker follows.

    Parameters
    ----------
    served
        Partitions of the request topic that it serves.
    requests, interactions
        How many partitions the topics have.
    ends
        Of each resident version: where its snapshot ends, by partition. A partition that it does
        not know is fresh from its beginning on.
    everything
        Follow all partitions, for whatever is served.

    Examples
    --------
    >>> plan_following([1], 2, 2, [{0: 50, 1: 10}, {0: 40, 1: 70}])
    Following(starts={1: 10}, meeting={1: (1,)})

    Eight partitions became twelve, and a version knows the eight only:

    >>> plan_following([3], 12, 12, [dict.fromkeys(range(8), 5)])
    Following(starts={3: 5, 7: 5, 11: 0}, meeting={3: (3, 7, 11)})
    """
    if not ends or not served or not interactions:
        return Following({}, {})
    apart = 1 if everything else gcd(requests, interactions, *(len(known) for known in ends))
    meeting = {
        number: tuple(range(number % apart, interactions, apart)) for number in sorted(served)
    }
    followed = sorted({partition for numbers in meeting.values() for partition in numbers})
    return Following(
        {partition: min(known.get(partition, 0) for known in ends) for partition in followed},
        meeting,
    )
