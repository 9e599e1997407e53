"""Forgetting at once: what a `forget` leaves of what a user did since a version's snapshot.

Pure. Of what the version learned of the user it leaves nothing: he ranks as one whom the version
does not know (`registry.scoring.known_users`). Must not know where events are kept.

A `forget` acts as in training (`training.data.forgetting`): it removes every event of its user with
an earlier time, and every event before it in its partition. So an event that arrives after a
`forget` is forgotten if its time is earlier.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from registry.fresh.fresh_events import FreshEvent


class FreshHistory(NamedTuple):
    """What a user did at or after the end of a version's snapshot.

    Parameters
    ----------
    events
        What counts, by partition, then offset; no `forget`, and nothing that is forgotten.
    forgotten
        There was a `forget`: nothing that the version learned of the user counts.
    forgotten_until
        Seconds since the epoch: events of an earlier time are forgotten.
    """

    events: tuple[FreshEvent, ...] = ()
    forgotten: bool = False
    forgotten_until: float = -math.inf


NOTHING_FRESH = FreshHistory()


def history_of(events: Iterable[FreshEvent], forgotten_until: float = -math.inf) -> FreshHistory:
    """Return what counts of a user's fresh events.

    A `forget` removes what has an earlier time, and what stands before it in its partition.

    Parameters
    ----------
    events
        At or after the end of the version's snapshot, each once, in any order.
    forgotten_until
        Time of the latest `forget` that the version knows of this user; -inf: of none.

    Examples
    --------
    >>> forget = FreshEvent(None, "forget", 1.0, time=9.0, offset=4)
    >>> late = FreshEvent("a", "watch", 1.0, time=8.0, offset=5)
    >>> new = FreshEvent("b", "watch", 1.0, time=9.5, offset=6)
    >>> [event.item_id for event in history_of([forget, late, new]).events]
    ['b']
    """
    ordered = sorted(events, key=lambda event: (event.partition, event.offset))
    forgets = [event for event in ordered if event.is_forget]
    until = max((forget.time for forget in forgets), default=-math.inf)
    until = max(until, forgotten_until)
    latest = {forget.partition: forget.offset for forget in forgets}  # the last one of each
    kept = tuple(
        event
        for event in ordered
        if not event.is_forget
        and event.time >= until
        and event.offset >= latest.get(event.partition, -1)
    )
    return FreshHistory(kept, bool(forgets), until)
