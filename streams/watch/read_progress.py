"""How far a partition is read. A value only; must not know the consumer that it comes from."""

from __future__ import annotations

from typing import NamedTuple


class Progress(NamedTuple):
    """Offsets of one partition, each of the record after; None where nothing is known yet.

    ``position`` is where reading continues, past gaps without records; ``stable_end`` ends what may
    be read: from there on to ``high_watermark`` records wait for a transaction that is open.
    """

    position: int | None
    stable_end: int | None
    high_watermark: int | None

    @property
    def unread(self) -> int:
        """How many offsets may be read and were not."""
        return 0 if self.stable_end is None else max(0, self.stable_end - (self.position or 0))

    @property
    def held_back(self) -> int:
        """How many offsets an open transaction keeps from being read."""
        if self.stable_end is None or self.high_watermark is None:
            return 0
        return max(0, self.high_watermark - self.stable_end)
