"""What a new item weighs for its users, by the rules of a version's training.

Pure. Must not know the vectors of the users, or where their share goes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from registry.fold_in.fresh_vectors import FreshVectors
from registry.fresh.fresh_events import FreshEvent
from registry.fresh.fresh_forgetting import FreshHistory
from registry.fresh.frozen_log import FrozenLog
from registry.fresh.version_window import VersionWindow
from registry.ids import ItemId, UserId
from registry.new_items.new_item_events import NewItemUsers


class UserHistories:
    """What users did with each item, by one walk through all that is fresh of a user.

    Holds what it has found, so it is to live no longer than a look does.

    Parameters
    ----------
    window
        Which events are fresh for the version.
    vectors
        The version's.
    """

    def __init__(self, window: VersionWindow, vectors: FreshVectors) -> None:
        self._window = window
        self._vectors = vectors
        self._found: dict[UserId, Mapping[ItemId | None, FreshHistory]] = {}

    def with_item(self, user_id: UserId, item_id: ItemId) -> FreshHistory | None:
        """Return a user's events with an item alone, the latest last; None: none counts."""
        if user_id not in self._found:
            self._found[user_id] = self._by_item(user_id)
        return self._found[user_id].get(item_id)

    def _by_item(self, user_id: UserId) -> Mapping[ItemId | None, FreshHistory]:
        if not self._window.is_whole(user_id):
            return {}
        history = self._window.history(user_id, self._vectors.forgotten_until(user_id))
        if history.forgotten:
            return {}
        by_item: defaultdict[ItemId | None, list[FreshEvent]] = defaultdict(list)
        for event in sorted(history.events, key=_by_time):
            by_item[event.item_id].append(event)
        return {item: history._replace(events=tuple(own)) for item, own in by_item.items()}


def weights_of_users(
    new: NewItemUsers,
    log: FrozenLog,
    histories: UserHistories,
    vectors: FreshVectors,
    learned_row: Callable[[UserId], tuple[int | None, bool]],
    partition: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the rows of the users who count, and what the item weighs for each, above 0.

    A user counts whose vector the version has, who has sent no `forget` since its snapshot, and
    whose latest event with the item is in this partition: so one whose events are in two, after a
    growth of the topic, counts in one of them.

    Parameters
    ----------
    new
        The item and its users.
    log, histories
        Where their events are, and what they did.
    vectors
        The version's.
    learned_row
        Returns a user's row, None if there is none, and whether its vector is not all zeros.
    partition
        Of the interaction topic.
    """
    rows, counted = [], []
    for number in new.users:
        user_id = log.columns.users.names[number]
        row, is_learned = learned_row(user_id)
        if row is None or not is_learned:
            continue
        history = histories.with_item(user_id, new.item_id)
        if history is not None and history.events[-1].partition == partition:
            rows.append(row)
            counted.append(history)
    weight = vectors.weights_of_item(new.item_id, counted)
    teaches = weight > 0
    return np.array(rows, np.int32)[teaches], weight[teaches]


def _by_time(event: FreshEvent) -> tuple[float, int, int]:
    return event.time, event.partition, event.offset
