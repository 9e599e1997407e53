"""Which offset of a partition may be committed: the ledger of its slices. Pure.

Slices are committed in the order of delivery: the offset to commit is the one after the longest
prefix of slices that are all acknowledged. Offsets are never counted, so a hole left by compaction
belongs to the slice that follows it.
"""

from __future__ import annotations

from collections import deque

from faust.types import Message


class Ledger:
    """The slices of one partition that were delivered and not yet committed, oldest first."""

    def __init__(self) -> None:
        self._slices: deque[tuple[Message, int]] = deque()
        self.unacknowledged = 0
        self.next_offset: int | None = None
        self.delivered_to: int | None = None

    def deliver(self, message: Message, records: int) -> None:
        """Note that `message`, a slice of `records` records, is on its way to the agent."""
        self._slices.append((message, records))
        self.delivered_to = message.offset + 1
        self.unacknowledged += records

    def settle(self) -> int | None:
        """Drop the acknowledged prefix; return the offset to commit, None if none ever was."""
        while self._slices and self._slices[0][0].acked:
            message, records = self._slices.popleft()
            self.unacknowledged -= records
            self.next_offset = message.offset + 1
        return self.next_offset
