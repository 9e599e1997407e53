"""Whether reading has stalled: a partition has records, and none of them comes.

Pure. After a broker's restart a librdkafka consumer with assigned partitions sometimes fetches
nothing any more, without any error, until it is replaced (librdkafka issue 5153, open in 2.16; seen
once in some 30 restarts on a loaded machine). So whoever reads for a long time compares, now and
then, how far it has come with where the partitions end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from registry.errors import TransportError

LOOK_SECONDS: Final = 5.0
"""Between two looks. Shorter asks the broker for little; longer, what was sent waits for longer."""


class ReadStall:
    """Remembers how far reading had come at the last look.

    >>> stall = ReadStall(now=0.0)
    >>> stall.look(5.0, {0: 7, 1: 4}, ends={0: 9, 1: 4}), stall.look(10.0, {0: 7, 1: 4}, {0: 9})
    (False, True)
    """

    def __init__(self, now: float) -> None:
        self._looked_at = now
        self._behind: Mapping[int, int] = {}

    def is_due(self, now: float) -> bool:
        """Tell whether it is time for a look, by a monotonic clock in seconds."""
        return now - self._looked_at >= LOOK_SECONDS

    def look(self, now: float, positions: Mapping[int, int], ends: Mapping[int, int]) -> bool:
        """Tell whether a partition had records at the last look and has not been read since.

        Parameters
        ----------
        now
            The present.
        positions
            The next offset to be read, by partition.
        ends
            The offset after the last record that can be read, as the broker says it now.
        """
        behind = {number: at for number, at in positions.items() if ends.get(number, at) > at}
        stalled = any(self._behind.get(number) == at for number, at in behind.items())
        self._looked_at, self._behind = now, behind
        return stalled

    def require_progress(
        self, now: float, positions: Mapping[int, int], ends: Mapping[int, int]
    ) -> None:
        """Look, and raise an error if reading has stalled.

        Raises
        ------
        TransportError
            The caller then replaces the client.
        """
        if self.look(now, positions, ends):
            raise TransportError("the client fetches no more, though there are records")
