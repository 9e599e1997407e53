"""Which users of a partition did something with which new items."""

from __future__ import annotations

import pytest

from registry.fresh.event_columns import EventBatch
from registry.fresh.event_log import EventLog
from registry.fresh.fresh_sight import FreshRange
from registry.new_items import item_choice, new_item_events
from registry.new_items.new_item_events import (
    EventArrays,
    NewItemUsers,
    events_of_new_items,
    users_of_new_items,
)
from registry.wire.training_records.event_weights import parse_event_weights


class Log:
    """Two partitions; the version has learned up to offset 2 of the first one."""

    def __init__(self) -> None:
        self.log = EventLog()
        self.log.begin({0: 0, 1: 0})
        self._at = {0: 0, 1: 0}

    def did(self, user: int, item: str | None, event: str = "watch", partition: int = 0) -> None:
        at = self._at[partition]
        self._at[partition] += 1
        batch = EventBatch([at], [user], [item], [event], [1.0], [float(at)])
        self.log.take(partition, batch, at + 1)

    def users(self, partition: int = 0) -> dict[str, list[int]]:
        frozen = self.log.frozen
        names = frozen.columns.users.names
        return {
            str(item): [names[number] for number in new.users]
            for item, new in self.found(partition).items()
        }

    def found(self, partition: int = 0) -> dict[object, NewItemUsers]:
        frozen = self.log.frozen
        fresh = FreshRange.of(
            {"0": (0, 2)}, parse_event_weights("watch=1,rate=1"), {"known": 3}.get
        )
        events = events_of_new_items(frozen, EventArrays.of(frozen), fresh)
        return dict(users_of_new_items(frozen, events, partition))


def test_only_what_is_fresh_new_and_of_a_kind_that_counts_is_found() -> None:
    log = Log()
    assert log.users() == {}
    log.did(1, "learned")
    log.did(2, "learned")
    for user in (5, 4):
        log.did(user, "new")
    log.did(4, "new", "rate")
    log.did(6, "new", "click")
    log.did(7, "known")
    log.did(7, None, "forget")
    log.did(8, "elsewhere", partition=1)

    assert log.users() == {"new": [5, 4]}
    assert log.users(1) == {"elsewhere": [8]}


def test_the_mark_differs_as_soon_as_something_else_counts() -> None:
    log = Log()
    log.did(0, "x")
    log.did(0, "x")
    log.did(4, "new")
    marks = [log.found()["new"].mark]
    log.did(5, "other")
    assert log.found()["new"].mark == marks[-1]
    for user, item, kind, partition in (
        (4, "new", "watch", 0),
        (5, "new", "watch", 0),
        (4, None, "forget", 0),
        (5, "new", "watch", 1),  # after a growth of the topic
    ):
        log.did(user, item, kind, partition)
        marks.append(log.found()["new"].mark)
    assert len(set(marks)) == len(marks)


def test_items_with_the_most_users_and_the_first_users_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(item_choice, "MOST_ITEMS", 2)
    monkeypatch.setattr(new_item_events, "MOST_USERS", 3)
    log = Log()
    for _ in range(2):
        log.did(0, "x")
    for item, users in (("a", 1), ("b", 4), ("c", 2)):
        for user in range(9, 9 - users, -1):
            log.did(user, item)

    assert log.users() == {"b": [9, 8, 7], "c": [9, 8]}
    before = log.found()["b"].mark
    log.did(6, "b")  # the fourth does not count, so nothing changes
    assert log.found()["b"].mark == before
