"""How the partitions of topics that belong together are shared among the members of a group.

Pure: current holders in, new shares out. Three promises, in this order:

1. **Balance.** Two members' counts are never two apart, so a member that joins gets its share.
2. **Stickiness.** A partition moves only if balance requires it.
3. **Calm.** Free partitions go to the member with the fewest partitions of other topics.

Knows nothing of Faust, of Kafka's protocol, or of what is in a partition.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

Shares = dict[str, set[int]]
"""Partition numbers by member."""


def share_partitions(
    partitions: int, held: Mapping[str, Collection[int]], load: Mapping[str, int] | None = None
) -> Shares:
    """Return the partitions of each member.

    Parameters
    ----------
    partitions
        How many there are; they are numbered from 0.
    held
        What each member held until now, by member; nothing for one that joins. Two members may
        claim the same partition: one of them missed a rebalance. A number that is not there any
        more counts for nothing.
    load
        How many partitions of other topics each member has; zero where it is not given.

    Returns
    -------
    Shares
        Disjoint sets that cover ``range(partitions)``; sizes differ by one at most.

    Examples
    --------
    >>> share_partitions(4, {"a": {0, 1}, "b": {2, 3}, "c": set()})
    {'a': {0, 1}, 'b': {2}, 'c': {3}}
    """
    if not held:
        return {}
    weights = load or {}
    claims = _without_rivals(partitions, held)
    floor, spare = divmod(partitions, len(claims))
    # who holds more than the floor keeps it; the spare ones go there first, then to idle members
    order = sorted(
        claims, key=lambda member: (-len(claims[member]), weights.get(member, 0), member)
    )
    sizes = {member: floor + (place < spare) for place, member in enumerate(order)}
    shares = {member: set(sorted(claims[member])[: sizes[member]]) for member in sorted(claims)}
    free = iter(sorted(set(range(partitions)).difference(*shares.values())))
    for member in order:
        while len(shares[member]) < sizes[member]:
            shares[member].add(next(free))
    return shares


def _without_rivals(partitions: int, held: Mapping[str, Collection[int]]) -> Shares:
    """Return what each member may keep: a partition that several claim is left to the poorest."""
    claimants: dict[int, list[str]] = {number: [] for number in range(partitions)}
    for member in sorted(held):
        for number in set(held[member]) & claimants.keys():
            claimants[number].append(member)
    claims: Shares = {member: set() for member in held}
    for number, members in sorted(claimants.items(), key=lambda entry: (len(entry[1]), entry[0])):
        if members:
            claims[min(members, key=lambda member: (len(claims[member]), member))].add(number)
    return claims
