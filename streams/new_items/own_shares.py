"""Own shares: what this worker's users add to the equations of new items, as far as it is due.

Knows what it has sent, and when that has changed. Must not know Kafka, or who adds shares up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from registry.fresh.event_columns import Columns
from registry.fresh.fresh_sight import FreshSight
from registry.ids import ItemId
from registry.new_items.item_shares import ItemShare, ShareKey, share_of
from registry.new_items.new_item_events import (
    EventArrays,
    NewItemUsers,
    events_of_new_items,
    users_of_new_items,
)
from registry.new_items.new_item_records import (
    CountedItems,
    NewItemRecord,
    record_of_share,
)
from registry.new_items.user_weights import UserHistories, weights_of_users
from registry.versions.model import Model

SHARES_AT_ONCE: Final = 50
"""Of one look: half a megabyte with 64 factors. What is not sent waits for the next one."""

USERS_AT_ONCE: Final = 5_000
"""Of the shares of one look, or one share: with 200 fresh events each, some 2 s of the processor.
A user with very many events costs one walk through them in a look, not one for each item."""

Place = tuple[str, int]
"""A version, and a partition of the interactions."""


@dataclass(slots=True)
class _Sent:
    """Of one place: its counted items as they were sent, and the mark and turn of each share."""

    counted: frozenset[ItemId] | None = None
    marks: dict[ItemId, tuple[tuple[int, ...], int]] = field(default_factory=dict)


class _Due(NamedTuple):
    """A share to make; those go first whose turn was the longest ago."""

    turn: int
    place: Place
    new: NewItemUsers


class OwnShares:
    """The shares of one worker; see the module. For one thread."""

    def __init__(self) -> None:
        self._sent: dict[Place, _Sent] = {}
        self._users: dict[Place, Mapping[ItemId, NewItemUsers]] = {}
        self._seen: tuple[Columns | None, int] = None, -1
        self._turn = 0

    def send_again(self) -> None:
        """Count nothing as sent: some of it may have been taken back since.

        What was never sent goes first, then what was sent longest ago.
        """
        for sent in self._sent.values():
            sent.counted = None
            sent.marks = {item: ((), turn) for item, (_, turn) in sent.marks.items()}

    def due(
        self,
        sight: FreshSight,
        models: Mapping[str, Model],
        places: Sequence[Place],
        lost: Sequence[Place] = (),
    ) -> list[NewItemRecord]:
        """Return what is to be sent now; it counts as sent.

        First which items of each place count, if those are others than before; then the shares that
        have changed, as many as one look may send.

        Parameters
        ----------
        sight
            What users did.
        models
            The versions in memory.
        places
            Those of which this worker sums up the events, all of which it has read.
        lost
            Those of which it would, but whose events are not all there any more: none counts.
        """
        self._turn += 1
        self._sent = {place: self._sent[place] for place in (*places, *lost) if place in self._sent}
        self._look(sight, places)
        records, due = self._take_back(sight, lost), []
        for place in places:
            sent, users = self._sent.setdefault(place, _Sent()), self._users[place]
            counted = frozenset(users)
            if sent.counted != counted and (counted or sent.counted is not None):
                sent.counted = counted
                records.append(_counted(place, sight, users))
            sent.marks = {item: mark for item, mark in sent.marks.items() if item in users}
            for item, new in users.items():
                mark, turn = sent.marks.get(item, ((), 0))
                if mark != new.mark:
                    due.append(_Due(turn, place, new))
        due.sort(key=lambda share: (share.turn, -len(share.new.users)))
        left, histories = USERS_AT_ONCE, _Histories(sight, models)
        for _, place, new in due[:SHARES_AT_ONCE]:
            records.append(
                record_of_share(_share(place, new, sight, models[place[0]], histories[place[0]]))
            )
            self._sent[place].marks[new.item_id] = new.mark, self._turn
            left -= len(new.users)
            if left <= 0:
                break
        return records

    def _take_back(self, sight: FreshSight, lost: Sequence[Place]) -> list[NewItemRecord]:
        """Say once that of these places nothing counts, whoever sent it."""
        found = [
            place
            for place in lost
            if place not in self._sent or self._sent[place].counted != frozenset()
        ]
        self._sent |= {place: _Sent(frozenset()) for place in found}
        return [_counted(place, sight, {}) for place in found]

    def _look(self, sight: FreshSight, places: Sequence[Place]) -> None:
        """Find who did what with new items, unless nothing has happened since the last look."""
        log = sight.log
        columns, count = self._seen
        if columns is not log.columns or count != log.count:
            self._users, self._seen = {}, (log.columns, log.count)
        self._users = {place: users for place, users in self._users.items() if place in places}
        new = [place for place in places if place not in self._users]
        if not new:
            return
        arrays = EventArrays.of(log)
        events = {
            version: events_of_new_items(log, arrays, sight.ranges[version])
            for version in dict(new)
        }
        for version, partition in new:
            self._users[version, partition] = users_of_new_items(log, events[version], partition)


def _counted(place: Place, sight: FreshSight, users: Mapping[ItemId, object]) -> NewItemRecord:
    version, partition = place
    counted = CountedItems(partition, sight.log.ends[partition], tuple(users))
    return NewItemRecord(version, counted=counted)


class _Histories(dict[str, UserHistories]):
    """By version: what its users did, as far as one look has asked for it."""

    def __init__(self, sight: FreshSight, models: Mapping[str, Model]) -> None:
        super().__init__()
        self._sight = sight
        self._models = models

    def __missing__(self, version: str) -> UserHistories:
        window, vectors = self._sight.window(version), self._models[version].fresh_vectors
        assert window is not None  # the place is one of the sight's
        assert vectors is not None  # `has_new_items`
        found = self[version] = UserHistories(window, vectors)
        return found


def _share(
    place: Place, new: NewItemUsers, sight: FreshSight, model: Model, histories: UserHistories
) -> ItemShare:
    version, partition = place
    vectors = model.fresh_vectors
    assert vectors is not None  # `has_new_items`
    rows, weight = weights_of_users(
        new, sight.log, histories, vectors, model.known_users.learned_row, partition
    )
    key = ShareKey(version, partition, new.item_id)
    end = sight.log.ends[partition]
    return share_of(key, end, model.known_users.factors, vectors.loss, rows, weight)
