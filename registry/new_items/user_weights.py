"""What a new item weighs for its users, by the rules of a version's training.

Pure. Must not know the vectors of the users, or where their share goes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from registry.fold_in.fresh_vectors import FreshVectors
from registry.fresh.event_log import FrozenLog
from registry.fresh.fresh_events import FreshHistory
from registry.fresh.version_window import VersionWindow
from registry.ids import UserId
from registry.new_items.new_item_events import NewItemUsers


def weights_of_users(
    new: NewItemUsers,
    log: FrozenLog,
    window: VersionWindow,
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
    log, window
        Where their events are, and which of them are fresh for the version.
    vectors
        The version's.
    learned_row
        Returns a user's row, None if there is none, and whether its vector is not all zeros.
    partition
        Of the interaction topic.
    """
    rows, histories = [], []
    for number in new.users:
        user_id = log.columns.users.names[number]
        row, is_learned = learned_row(user_id)
        if row is None or not is_learned or not window.is_whole(user_id):
            continue
        history = _history_with(new, window.history(user_id, vectors.forgotten_until(user_id)))
        if history is not None and history.events[-1].partition == partition:
            rows.append(row)
            histories.append(history)
    weight = vectors.weights_of_item(new.item_id, histories)
    teaches = weight > 0
    return np.array(rows, np.int32)[teaches], weight[teaches]


def _history_with(new: NewItemUsers, history: FreshHistory) -> FreshHistory | None:
    """Return a user's events with the item alone, the latest last; None: none counts."""
    own = [event for event in history.events if event.item_id == new.item_id]
    if history.forgotten or not own:
        return None
    ordered = sorted(own, key=lambda event: (event.time, event.partition, event.offset))
    return history._replace(events=tuple(ordered))
