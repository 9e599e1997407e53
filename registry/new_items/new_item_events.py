"""Events of new items: which users of a partition did something with items a version does not know.

Pure NumPy, on a frozen log. Must not know what the events weigh, or who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.fresh.event_columns import OFFSET_BITS
from registry.fresh.fresh_sight import FreshRange
from registry.fresh.frozen_log import FrozenLog
from registry.ids import ItemId
from registry.new_items.item_choice import most_used_of_partition
from registry.wire.training_records.event_weights import FORGET

MOST_USERS: Final = 2_000
"""Users of a partition that count for an item, the first ones. A vector of 64 numbers is settled by
fewer, and each costs a walk through all that is fresh of the user, some 2 µs an event, once in
each look that makes a share of the user's."""


class NewItemUsers(NamedTuple):
    """Who did something with a new item.

    Parameters
    ----------
    item_id
        The item.
    users
        Numbers of the log's users with events in the partition, in the order of their first one
        there; `MOST_USERS` at most.
    mark
        Differs as soon as something else counts: an event of theirs with the item, or a `forget`.
    """

    item_id: ItemId
    users: tuple[int, ...]
    mark: tuple[int, int, int]


class EventArrays(NamedTuple):
    """Copies of a frozen log's columns: (events,) each, and (users,) the forgets of each user."""

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    kind: NDArray[np.uint16]
    place: NDArray[np.int64]
    forgets: NDArray[np.int64]

    @classmethod
    def of(cls, log: FrozenLog) -> EventArrays:
        """Return those of a log; slices are copies, so the log's writer is not held up."""
        columns, count = log.columns, log.count
        user, item, kind, place = (
            np.asarray(column[:count])
            for column in (columns.user, columns.item, columns.kind, columns.place)
        )
        by_forget = kind == columns.kinds.get(FORGET, -1)
        forgets = np.bincount(user[by_forget], minlength=len(columns.users.names))
        return cls(user, item, kind, place, forgets)


def events_of_new_items(log: FrozenLog, arrays: EventArrays, fresh: FreshRange) -> EventArrays:
    """Return the events that are fresh for a version, of kinds that it counts, and of new items.

    Parameters
    ----------
    log, arrays
        The log, and its columns.
    fresh
        What is fresh for the version.
    """
    columns = log.columns
    row = np.asarray(fresh.translation.rows(columns.items.names))
    counted = np.array([kind in fresh.kinds for kind in columns.kinds.names], np.bool_)
    last = max((*log.ends, *fresh.ends), default=0)
    ends = np.array(
        [max(fresh.ends.get(number, 0), log.starts.get(number, 0)) for number in range(last + 1)],
        np.int64,
    )
    chosen = np.flatnonzero(arrays.item >= 0)
    chosen = chosen[row[arrays.item[chosen]] < 0]  # few: the rest is read for these alone
    place = arrays.place[chosen]
    is_fresh = place & ((1 << OFFSET_BITS) - 1) >= ends[place >> OFFSET_BITS]
    chosen = chosen[is_fresh & counted[arrays.kind[chosen]]]
    user, item, kind = arrays.user[chosen], arrays.item[chosen], arrays.kind[chosen]
    return EventArrays(user, item, kind, arrays.place[chosen], arrays.forgets)


def users_of_new_items(
    log: FrozenLog, events: EventArrays, partition: int
) -> Mapping[ItemId, NewItemUsers]:
    """Return who did something with which items that a version does not know.

    Parameters
    ----------
    log
        The log.
    events
        Those of new items.
    partition
        Of the interaction topic: only items with events there, those with the most users of it.

    Returns
    -------
    The most used items (`registry.new_items.item_choice`); of equal ones, the first that came up.
    """
    user, item, _, place, forgets = events
    is_here = place >> OFFSET_BITS == partition
    some = np.isin(item, _with_most_users(user[is_here], item[is_here]))
    order = np.lexsort((place[some], item[some]))
    user, item, place = user[some][order], item[some][order], place[some][order]
    bounds = np.flatnonzero(np.diff(item, prepend=-1, append=-1))
    names = log.columns.items.names
    found = {}
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        users, places = user[start:end], place[start:end]
        here, first = np.unique(users[places >> OFFSET_BITS == partition], return_index=True)
        counted = here[np.argsort(first)][:MOST_USERS]
        own = places[np.isin(users, counted)]
        mark = (len(own), int(own.sum()), int(forgets[counted].sum()))
        item_id = names[int(item[start])]
        found[item_id] = NewItemUsers(item_id, tuple(counted.tolist()), mark)
    return found


def _with_most_users(user: NDArray[np.int32], item: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the numbers of the items with the most users."""
    users = int(user.max(initial=0)) + 1
    pairs = np.unique(item.astype(np.int64) * users + user)
    items, counts = np.unique(pairs // users, return_counts=True)
    return most_used_of_partition(items, counts)
