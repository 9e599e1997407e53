"""Eras of the control topic: epochs stay comparable although offsets restart.

Pure. An epoch is era · 2⁴⁰ + offset of the command on the control topic. A control topic that was
recreated, or that is another cluster's, begins with offset 0; its commands belong to the next era,
so each epoch is larger than all earlier ones. In era 0, epochs are offsets.
"""

from __future__ import annotations

from typing import Final

ERA_BITS: Final = 40
"""Offsets of one era: a thousand commands a second for 34 years. More bits would leave fewer eras
below 2⁵³, where JSON's numbers end to be exact in JavaScript: there is room for 8,192."""

MAX_EPOCH: Final = 2**53 - 1
"""The largest integer that every JSON reader takes exactly."""


def epoch_of(era: int, offset: int) -> int:
    """Return the epoch of the command at `offset` in `era`.

    >>> epoch_of(0, 57), epoch_of(1, 3)
    (57, 1099511627779)
    """
    return (era << ERA_BITS) + offset


def era_of(epoch: int) -> int:
    """Return the era of an epoch, or of the end of a log; -1, before all commands, is in era 0.

    >>> era_of(-1), era_of(57), era_of(epoch_of(3, 0))
    (0, 0, 3)
    """
    return max(0, epoch) >> ERA_BITS


def offset_of(epoch: int) -> int:
    """Return the offset on the control topic of its era.

    >>> offset_of(epoch_of(3, 12))
    12
    """
    return epoch & ((1 << ERA_BITS) - 1)
