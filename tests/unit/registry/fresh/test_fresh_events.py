from __future__ import annotations

import math

from registry.fresh.fresh_events import NOTHING_FRESH, FreshEvent, fresh_event, history_of
from registry.wire.training_records.interactions import Interaction


def _watch(item: str, time: float, offset: int, partition: int = 0) -> FreshEvent:
    return FreshEvent(item, "watch", 1.0, time, offset, partition)


def _forget(time: float, offset: int, partition: int = 0) -> FreshEvent:
    return FreshEvent(None, "forget", 1.0, time, offset, partition)


def _left(*events: FreshEvent, until: float = -math.inf) -> list[object]:
    return [event.item_id for event in history_of(events, until).events]


def test_no_events_are_nothing_fresh() -> None:
    assert history_of([]) == NOTHING_FRESH


def test_events_come_in_the_order_of_their_partitions_and_offsets() -> None:
    assert _left(_watch("c", 1, 3, 1), _watch("b", 9, 2), _watch("a", 5, 1)) == ["a", "b", "c"]


def test_a_forget_takes_back_what_stands_before_it_whatever_its_time() -> None:
    assert _left(_watch("a", 99, 1), _forget(5, 2), _watch("b", 6, 3)) == ["b"]


def test_a_forget_takes_back_what_arrives_late_with_an_earlier_time() -> None:
    assert _left(_forget(5, 2), _watch("late", 4.5, 3), _watch("same time", 5, 4)) == ["same time"]


def test_in_another_partition_only_the_time_counts() -> None:
    assert _left(_watch("a", 4, 1, 1), _watch("b", 6, 1, 1), _forget(5, 9)) == ["b"]


def test_a_forget_that_the_version_knows_takes_back_late_events_and_nothing_learned() -> None:
    history = history_of([_watch("late", 4, 1), _watch("new", 5, 2)], forgotten_until=5)

    assert [event.item_id for event in history.events] == ["new"]
    assert not history.forgotten


def test_the_latest_forget_of_all_counts() -> None:
    history = history_of([_forget(9, 1), _forget(3, 2)], forgotten_until=5)

    assert (history.events, history.forgotten, history.forgotten_until) == ((), True, 9)


def test_an_interaction_becomes_an_event_as_training_takes_it() -> None:
    watch = Interaction(user_id=1, item_id="a", event="watch")
    rate = Interaction(user_id=1, item_id=2, event="rate", value=4.5, timestamp=7.25)

    assert fresh_event(watch, 9.5, 3, 1) == FreshEvent("a", "watch", 1.0, 9.5, 3, 1)
    assert fresh_event(rate, 9.5, 4) == FreshEvent(2, "rate", 4.5, 7.25, 4, 0)
