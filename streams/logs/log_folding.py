"""Folding: which lines of a log are worth reading. Pure.

While a broker is unavailable, a library logs the same error repeatedly, although nobody needs to
act: it retries automatically, and the worker logs what matters in one line of its own. Of those
lines, only the ones that name an unreachable broker are shown, as INFO; of any repeated line, one a
minute is shown, with the number of the others. Knows messages; must not know handlers.
"""

from __future__ import annotations

import logging
import re
from typing import Final

FOLD_SECONDS: Final = 60.0
"""How long lines of a kind are only counted, after one was shown."""

MOST_KINDS: Final = 1_000
"""Kinds that are remembered. A message that never repeats must not fill the memory."""

BY_ITSELF: Final = {
    "aiokafka": re.compile(r"(?i)^(?!.*(authoriz|authentic|certificate|ssl|unexpected))"),
    "faust": re.compile(
        r"Timer |Recovery rebalancing again|Committing raised exception|LeaveGroup|"
        r"No active partitions|flight_recorder|\[Flight Recorder"
    ),
    "mode": re.compile(r"Timer |\[Flight Recorder|took too long|Executing"),
    "librdkafka": re.compile(
        r"(?i)^(?!.*(authoriz|authentic|certificate|"
        r"(ssl|sasl)(?!\w*://|_handshake\)| handshake failed: disconnected)))"
    ),
}
"""By a library's name, messages about brokers that come and go: it retries automatically.

On a secured Kafka an address begins with ``ssl://`` or ``sasl_ssl://``; and a broker that goes cuts
handshakes off, in the client's state ``SSL_HANDSHAKE``."""


WHICH_BROKER: Final = re.compile(r"Unable connect to|Connect to .* failed")
"""Of those, the ones that tell an operator where to look."""


def level_of(library: str, level: int, message: str) -> int:
    """Return the level at which a library's message is shown.

    Parameters
    ----------
    library
        The first part of the logger's name.
    level
        What the library calls it.
    message
        The whole text.
    """
    calm = BY_ITSELF.get(library)
    if level > logging.INFO and calm is not None and calm.search(message):
        return logging.INFO if WHICH_BROKER.search(message) else logging.DEBUG
    return level


class Folding:
    """Remembers which kinds of lines were shown, and counts those that were not."""

    def __init__(self) -> None:
        self._shown_at: dict[str, float] = {}
        self._hidden: dict[str, int] = {}

    def admit(self, kind: str, now: float) -> int | None:
        """Tell whether a line of this kind is to be shown at `now`, in seconds.

        Returns
        -------
        int or None
            How many were not shown since the last one that was; None if this one is not, either.
        """
        shown_at = self._shown_at.get(kind)
        if shown_at is not None and now - shown_at < FOLD_SECONDS:
            self._hidden[kind] = self._hidden.get(kind, 0) + 1
            return None
        if len(self._shown_at) >= MOST_KINDS:
            self._shown_at.clear()
            self._hidden.clear()
        self._shown_at[kind] = now
        return self._hidden.pop(kind, 0)
