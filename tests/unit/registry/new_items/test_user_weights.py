"""What users did with new items: one walk through a user's events, however many items there are."""

from __future__ import annotations

from typing import Any

from registry.fresh.event_columns import EventBatch
from registry.fresh.event_log import EventLog
from registry.fresh.fresh_forgetting import FreshHistory
from registry.fresh.version_window import ItemTranslation, VersionWindow
from registry.ids import UserId
from registry.new_items.user_weights import UserHistories

ITEMS = 100


class CountingWindow(VersionWindow):
    walks = 0

    def history(self, user_id: UserId, forgotten_until: float = -1.0) -> FreshHistory:
        self.walks += 1
        return super().history(user_id, forgotten_until)


class NeverForgotten:
    def forgotten_until(self, _: UserId) -> float:
        return float("-inf")


def test_a_user_of_many_new_items_is_walked_through_once() -> None:
    log = EventLog()
    log.begin({0: 0})
    offsets = range(3 * ITEMS)
    items = [offset % ITEMS for offset in offsets]
    times = [1e9 - offset for offset in offsets]  # each later record is of an earlier event
    count = len(items)
    batch = EventBatch(offsets, [7] * count, items, ["watch"] * count, [1.0] * count, times)
    log.take(0, batch, count)
    window = CountingWindow(log.frozen, {}, ("watch",), ItemTranslation(lambda _: None), 200)
    vectors: Any = NeverForgotten()
    histories = UserHistories(window, vectors)

    for item in range(ITEMS):
        history = histories.with_item(7, item)
        assert history is not None
        expected = [item + 2 * ITEMS, item + ITEMS, item]  # the latest last
        assert [event.offset for event in history.events] == expected
    assert histories.with_item(7, ITEMS) is None
    assert histories.with_item(8, 0) is None
    assert window.walks == 2
