"""Holes: what is being read of a partition before what is shown of it.

Pure: offsets in, offsets out. Must not know what stands there.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple


class Hole(NamedTuple):
    """What is being read of a partition before what is shown of it.

    Parameters
    ----------
    start, until
        The offsets of the hole; what is shown begins at `until`.
    filled
        It is here up to this offset, though nobody sees it yet.
    """

    start: int
    until: int
    filled: int


def holes_before(
    shown: Mapping[int, int],
    starts: Mapping[int, int],
    known: Mapping[int, Hole],
    anew: Container[int],
) -> tuple[dict[int, Hole], set[int]]:
    """Return the holes, and the partitions of which nothing may be here but what is shown.

    Parameters
    ----------
    shown, starts
        By partition: from where on it is shown, and from where on it is wanted; never later.
    known
        The holes that are being filled.
    anew
        Partitions that begin anew: nothing of them is here.

    Examples
    --------
    >>> known = {0: Hole(start=5, until=9, filled=7)}
    >>> holes_before({0: 9, 1: 4}, {0: 5, 1: 4}, known, ())
    ({0: Hole(start=5, until=9, filled=7)}, set())
    >>> holes_before({0: 9}, {0: 3}, known, ())
    ({0: Hole(start=3, until=9, filled=3)}, {0})
    """
    holes: dict[int, Hole] = {}
    cleared = set()
    for number, start in starts.items():
        if start == shown[number]:
            continue
        filling = None if number in anew else known.get(number)
        if filling is not None and filling.start == start:
            holes[number] = filling
        else:
            holes[number] = Hole(start, shown[number], start)
            cleared.add(number)
    return holes, cleared


def missing_of(holes: Iterable[Hole]) -> int:
    """Return how many offsets of some holes are still to be read."""
    return sum(hole.until - hole.filled for hole in holes)
