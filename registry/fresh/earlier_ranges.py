"""Earlier ranges: what is still being read of a partition before what is shown of it.

Pure: offsets in, offsets out. Must not know what stands there.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple


class EarlierRange(NamedTuple):
    """What is being read of a partition before what is shown of it.

    Parameters
    ----------
    start, until
        Its offsets; what is shown begins at `until`.
    filled
        It is here up to this offset, though nobody sees it yet.
    """

    start: int
    until: int
    filled: int


def earlier_ranges(
    shown: Mapping[int, int],
    starts: Mapping[int, int],
    known: Mapping[int, EarlierRange],
    anew: Container[int],
) -> tuple[dict[int, EarlierRange], set[int]]:
    """Return the earlier ranges, and the partitions of which nothing may be here but what is shown.

    Parameters
    ----------
    shown, starts
        By partition: from where on it is shown, and from where on it is wanted; never later.
    known
        Those that are being filled.
    anew
        Partitions that begin anew: nothing of them is here.

    Examples
    --------
    >>> known = {0: EarlierRange(start=5, until=9, filled=7)}
    >>> earlier_ranges({0: 9, 1: 4}, {0: 5, 1: 4}, known, ())
    ({0: EarlierRange(start=5, until=9, filled=7)}, set())
    >>> earlier_ranges({0: 9}, {0: 3}, known, ())
    ({0: EarlierRange(start=3, until=9, filled=3)}, {0})
    """
    ranges: dict[int, EarlierRange] = {}
    cleared = set()
    for number, start in starts.items():
        if start == shown[number]:
            continue
        filling = None if number in anew else known.get(number)
        if filling is not None and filling.start == start:
            ranges[number] = filling
        else:
            ranges[number] = EarlierRange(start, shown[number], start)
            cleared.add(number)
    return ranges, cleared


def unread_of(ranges: Iterable[EarlierRange]) -> int:
    """Return how many offsets of some ranges are still to be read."""
    return sum(part.until - part.filled for part in ranges)
