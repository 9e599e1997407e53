from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from registry.fresh.fresh_events import FreshEvent
from registry.fresh.fresh_forgetting import NOTHING_FRESH, history_of


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


def _left_by_the_rule(events: Sequence[FreshEvent]) -> list[FreshEvent]:
    """Compare each event with each `forget`."""
    return [
        event
        for event in sorted(events, key=lambda event: (event.partition, event.offset))
        if not event.is_forget
        and not any(
            event.time < forget.time
            or (event.partition == forget.partition and event.offset < forget.offset)
            for forget in events
            if forget.is_forget
        )
    ]


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 20), st.integers(0, 2)),
        unique_by=lambda drawn: drawn[2:],
    )
)
def test_what_is_left_is_what_no_forget_takes_back(
    drawn: list[tuple[bool, int, int, int]],
) -> None:
    events = [
        _forget(time, offset, partition) if forgets else _watch("a", time, offset, partition)
        for forgets, time, offset, partition in drawn
    ]
    assert list(history_of(events).events) == _left_by_the_rule(events)
