"""Fresh events: what a user did since a version's snapshot, and what an undo leaves of it.

Pure. What a `forget` leaves of it: `registry.fresh.fresh_forgetting`. Must not know where the
events are kept, what they weigh, or what is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from registry.ids import ItemId
from registry.undo_events import TAKEN_BACK, latest_events
from registry.wire.training_records.event_weights import FORGET
from registry.wire.training_records.interactions import Interaction


class FreshEvent(NamedTuple):
    """One event of one user, as training takes it.

    Parameters
    ----------
    item_id
        None: a `forget` without an item.
    event
        Its kind.
    value
        A count or a strength; 1 if the event has none.
    time
        Seconds since the epoch: the event's ``timestamp``, or else its record's.
    offset, partition
        Where it stands in the interaction topic.
    """

    item_id: ItemId | None
    event: str
    value: float
    time: float
    offset: int
    partition: int = 0

    @property
    def is_forget(self) -> bool:
        """Whether it removes what its user did before."""
        return self.event == FORGET


def fresh_event(
    interaction: Interaction, record_time: float, offset: int, partition: int = 0
) -> FreshEvent:
    """Return a usable interaction as an event.

    Parameters
    ----------
    interaction
        One that :func:`registry.wire.training_records.interactions.require_usable` takes.
    record_time
        The record's own, in seconds since the epoch.
    offset, partition
        Of the record.
    """
    return FreshEvent(
        interaction.item_id,
        interaction.event,
        1.0 if interaction.value is None else interaction.value,
        record_time if interaction.timestamp is None else interaction.timestamp,
        offset,
        partition,
    )


def left_of(events: Sequence[FreshEvent], undoes: Mapping[str, str]) -> list[FreshEvent]:
    """Return the latest event of each item and kind that no undo takes back.

    Parameters
    ----------
    events
        Of one user, by partition, then offset.
    undoes
        By kind of undo, the kind that it takes back.

    Examples
    --------
    >>> like, unlike = FreshEvent("a", "like", 1.0, 5.0, 1), FreshEvent("a", "unlike", 1.0, 6.0, 0)
    >>> left_of([unlike, like], {"unlike": "like"})
    []
    """
    numbers: dict[tuple[ItemId | None, str], int] = {}
    key = [
        numbers.setdefault((event.item_id, undoes.get(event.event, event.event)), len(numbers))
        for event in events
    ]
    value = [TAKEN_BACK if event.event in undoes else event.value for event in events]
    time = np.array([event.time for event in events], np.float64)
    latest = latest_events(np.array(key, np.int64), time, np.array(value, np.float32))
    return [events[place] for place in latest.counting.tolist()]
