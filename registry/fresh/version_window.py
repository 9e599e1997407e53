"""A version's window: which events of a frozen log are fresh for one version, and what they hide.

Pure. Fresh for a version and a partition are the events at or after the end of its snapshot there:
no clock, no overlap, no gap. Must not know what is done with the events.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Container, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from registry.fresh.event_columns import OFFSET_BITS, place_of
from registry.fresh.fresh_events import FreshEvent, left_of
from registry.fresh.fresh_forgetting import NOTHING_FRESH, FreshHistory, history_of
from registry.fresh.frozen_log import FrozenLog
from registry.ids import ItemId, UserId
from registry.wire.responses import VectorSource

ItemRows = NDArray[np.int32]

NO_ROWS: ItemRows = np.empty(0, np.int32)


class FreshUser(NamedTuple):
    """What is fresh of one user for one version.

    Parameters
    ----------
    forgotten
        Nothing that the version learned of him counts.
    seen
        Rows of the version's items that he has interacted with since, int32, in any order.
    is_all_seen
        ``seen`` has those as well that the version learned, without what he took back.
    source
        What ranks his items; None: what ranks them without anything fresh.
    vector
        (factors,) float32, if it was solved for.
    """

    forgotten: bool = False
    seen: ItemRows = NO_ROWS
    source: VectorSource | None = None
    vector: NDArray[np.float32] | None = None
    is_all_seen: bool = False


class ItemTranslation:
    """The version's row of each item of one log, -1 where it has none; grows as the log does.

    Parameters
    ----------
    row_of
        Returns the row of an item, None if the version does not know it.
    """

    def __init__(self, row_of: Callable[[ItemId], int | None]) -> None:
        self._row_of = row_of
        self._rows = array("i")

    def rows(self, names: Sequence[ItemId]) -> array[int]:
        """Return the rows of a log's items, by their numbers; any thread may ask."""
        if len(self._rows) >= len(names):
            return self._rows
        rows = self._rows[:]  # a copy: another thread may be at it, too
        for name in names[len(rows) :]:
            row = self._row_of(name)
            rows.append(-1 if row is None else row)
        self._rows = rows
        return rows


class VersionWindow:
    """What is fresh for one version in one frozen log.

    Parameters
    ----------
    log
        The log.
    ends
        By partition: where the version's snapshot ends. It knows nothing of a partition that is not
        there, so all of that one is fresh.
    kinds
        Kinds of events that the version counts; others are as if they had not happened.
    translation
        Of the log's items to the version's rows.
    most
        So many of a user's events count for his vector, the newest.
    undoes
        By kind of undo, the one of `kinds` that it takes back.
    """

    def __init__(
        self,
        log: FrozenLog,
        ends: Mapping[int, int],
        kinds: Container[str],
        translation: ItemTranslation,
        most: int,
        undoes: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        columns = log.columns
        self._rows = translation.rows(columns.items.names)
        self._kinds = {number for kind, number in list(columns.kinds.items()) if kind in kinds}
        self._most = most
        self._undoes = undoes or {}
        self._undo_kinds = {
            number for kind, number in list(columns.kinds.items()) if kind in self._undoes
        }
        partitions = max((*log.ends, *ends), default=-1) + 1
        self._bounds = [
            place_of(number, max(ends.get(number, 0), log.starts.get(number, 0)))
            for number in range(partitions)
        ]

    def user(self, user_id: UserId) -> FreshUser | None:
        """Return what is fresh of a user; None: nothing is."""
        log = self._log
        number = log.number_of(user_id)
        if number is None:
            return None
        if number in log.columns.forgetters or self._has_undone(number):
            return self._by_history(number)
        rows = self._seen_rows(number)
        return FreshUser(False, np.array(rows, np.int32)) if rows else None

    def mark(self, user_id: UserId) -> tuple[int, int]:
        """Return what differs as soon as another set of the user's events is visible."""
        log, bounds = self._log, self._bounds
        number = log.number_of(user_id)
        if number is None:
            return (0, 0)
        places = [log.columns.place[index] for index in log.indices(number)]
        visible = [place for place in places if place >= bounds[place >> OFFSET_BITS]]
        return len(visible), sum(visible)

    def history(self, user_id: UserId, forgotten_until: float = -np.inf) -> FreshHistory:
        """Return all events of a user that count, those of other kinds left out.

        Parameters
        ----------
        user_id
            The user.
        forgotten_until
            As of :func:`registry.fresh.fresh_forgetting.history_of`.
        """
        number = self._log.number_of(user_id)
        if number is None:
            return NOTHING_FRESH._replace(forgotten_until=forgotten_until)
        return self._history(number, forgotten_until)

    def newest(self, history: FreshHistory) -> FreshHistory:
        """Return a history with only those of its events that count for its user's vector.

        What takes others back always does: it makes the history no longer.
        """
        events = [event for event in history.events if event.event not in self._undoes]
        if len(events) <= self._most:
            return history
        by_time = sorted(events, key=lambda event: (event.time, event.partition, event.offset))
        left_out = set(by_time[: -self._most])
        kept = tuple(event for event in history.events if event not in left_out)
        return history._replace(events=kept)

    def seen_in(self, history: FreshHistory) -> ItemRows:
        """Return the rows of the items of a history that the version knows, in any order."""
        items = self._log.columns.items
        rows = [self._rows[items[event.item_id]] for event in self._left(history)]
        return np.array([row for row in rows if row >= 0], np.int32)

    def seen_unknown(self, user_id: UserId) -> set[ItemId]:
        """Return the items that a user has interacted with and that the version does not know."""
        log, bounds = self._log, self._bounds
        number = log.number_of(user_id)
        if number is None:
            return set()
        names, rows = log.columns.items.names, self._rows
        packed = {
            names[item]
            for item, kind, place in log.packed(number)
            if number not in log.columns.forgetters  # who is packed, then forgets: all went before
            if place >= bounds[place >> OFFSET_BITS] and kind in self._kinds and rows[item] < 0
        }
        known = log.columns.items
        events = self._left(self._history(number, -np.inf))
        return packed | {
            item_id
            for event in events
            if (item_id := event.item_id) is not None and rows[known[item_id]] < 0
        }

    def is_whole(self, user_id: UserId) -> bool:
        """Tell whether all events of a user are here, and not only which items he has seen."""
        return self._log.number_of(user_id) not in self._log.columns.packed

    def _left(self, history: FreshHistory) -> Sequence[FreshEvent]:
        """Return the events of a history that were not undone."""
        if self._undo_kinds:
            return left_of(history.events, self._undoes)
        return history.events

    def _has_undone(self, number: int) -> bool:
        """Tell whether a user has undone anything, by events that are whole."""
        if not self._undo_kinds or number in self._log.columns.packed:
            return False
        kind = self._log.columns.kind
        return any(kind[index] in self._undo_kinds for index in self._log.indices(number))

    def _history(self, number: int, forgotten_until: float) -> FreshHistory:
        log, place, bounds = self._log, self._log.columns.place, self._bounds
        whole = history_of(
            (
                log.event_at(index)
                for index in log.indices(number)
                if place[index] >= bounds[place[index] >> 52]
            ),
            forgotten_until,
        )
        known = [event for event in whole.events if log.columns.kinds[event.event] in self._kinds]
        return whole._replace(events=tuple(known))

    def _by_history(self, number: int) -> FreshUser | None:
        """Return what is fresh of a user who took something back."""
        history = self._history(number, -np.inf)
        items = self._log.columns.items
        touches = any(self._rows[items[event.item_id]] >= 0 for event in history.events)
        if not (history.forgotten or touches):
            return None
        return FreshUser(history.forgotten, self.seen_in(history))

    def _seen_rows(self, number: int) -> list[int]:
        """Return the rows of what a user did who took nothing back: the way of nearly all."""
        columns, count, bounds, kinds = (
            self._log.columns,
            self._log.count,
            self._bounds,
            self._kinds,
        )
        places, previous, translated = columns.place, columns.previous, self._rows
        index, found = columns.head[number], []
        while index >= 0:
            if index < count:
                place = places[index]
                if place >= bounds[place >> 52] and columns.kind[index] in kinds:
                    row = translated[columns.item[index]]
                    if row >= 0:
                        found.append(row)
            index = previous[index]
        if number in columns.packed:
            found += (
                translated[item]
                for item, kind, place in self._log.packed(number)
                if place >= bounds[place >> 52] and kind in kinds and translated[item] >= 0
            )
        return found
