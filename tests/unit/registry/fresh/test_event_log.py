"""The event log and its windows, against a twin that is a list of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import ShapeError
from registry.fresh.event_columns import EventBatch
from registry.fresh.event_log import EventLog
from registry.fresh.fresh_events import FreshEvent
from registry.fresh.fresh_forgetting import history_of
from registry.fresh.frozen_log import FrozenLog
from registry.fresh.version_window import ItemTranslation, VersionWindow
from registry.ids import ItemId

KINDS = ("watch", "click", "forget", "unheard-of")
ITEMS = ("a", "b", 7, "7", None)
ROWS = {"a": 0, "b": 1, 7: 2, "7": 3}  # a version may not know them all
USERS = (1, "1", "anna")
PARTITIONS = 2


class Took(NamedTuple):
    user: int | str
    event: FreshEvent


class Twin:
    """The same by lists alone."""

    def __init__(self) -> None:
        self.starts: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        self.events: list[Took] = []
        self.earlier: dict[int, list[int]] = {}  # start, filled, until
        self.hidden: list[Took] = []

    def begin(self, starts: Mapping[int, int], shown_from: Mapping[int, int]) -> None:
        for number in {*self.starts, *starts}:
            goes_on = number in starts and number in self.starts
            if goes_on and starts[number] <= self.ends[number]:
                self.starts[number] = max(starts[number], self.starts[number])
            else:
                for kept in (self.starts, self.ends, self.earlier):
                    kept.pop(number, None)
                self.events = [took for took in self.events if took.event.partition != number]
                if number in starts:
                    first = shown_from.get(number, starts[number])
                    self.starts[number] = self.ends[number] = first
            self.events = [
                took
                for took in self.events
                if took.event.partition != number or took.event.offset >= self.starts.get(number, 0)
            ]
            part = self.earlier.get(number)
            if number in starts and starts[number] < self.starts[number]:
                if part is None or part[0] != starts[number]:
                    self.earlier[number] = [starts[number], starts[number], self.starts[number]]
            else:
                self.earlier.pop(number, None)
        self.hidden = [
            took
            for took in self.hidden
            if (part := self.earlier.get(took.event.partition))
            and part[0] <= took.event.offset < part[1]
        ]

    def take(self, partition: int, took: list[Took]) -> None:
        self.events = [*self.events, *took]
        self.ends[partition] += len(took)

    def fill(self, partition: int, took: list[Took]) -> int:
        start, filled, until = self.earlier[partition]
        self.hidden = [*self.hidden, *took]
        self.earlier[partition][1] = filled = filled + max(
            1, len(took)
        )  # an offset passed, if none
        if filled >= until:
            here = [each for each in self.hidden if each.event.partition == partition]
            self.events = [*self.events, *here]
            self.hidden = [each for each in self.hidden if each.event.partition != partition]
            self.starts[partition] = start
            del self.earlier[partition]
        return filled


def take(
    log: EventLog, partition: int, took: list[Took], end: int, *, in_hole: bool = False
) -> None:
    events = [each.event for each in took]
    (log.fill if in_hole else log.take)(
        partition,
        EventBatch(
            [event.offset for event in events],
            [each.user for each in took],
            [event.item_id for event in events],
            [event.event for event in events],
            [event.value for event in events],
            [event.time for event in events],
        ),
        end,
    )


def fresh_of(events: list[Took], user: int | str, ends: Mapping[int, int]) -> list[FreshEvent]:
    return [
        took.event
        for took in events
        if took.user == user
        and type(took.user) is type(user)
        and took.event.offset >= ends.get(took.event.partition, 0)
    ]


def a_window(log: FrozenLog, ends: Mapping[int, int], most: int = 200) -> VersionWindow:
    known = ItemTranslation(lambda item: ROWS.get(item) if item != "b" else None)
    return VersionWindow(log, ends, {"watch", "click"}, known, most)


def assert_as_the_twin(log: FrozenLog, events: list[Took], ends: Mapping[int, int]) -> None:
    window = a_window(log, ends)
    for user in USERS:
        history = history_of(fresh_of(events, user, ends))
        counted = tuple(event for event in history.events if event.event in ("watch", "click"))
        assert window.history(user) == history._replace(events=counted)
        rows = {ROWS[event.item_id] for event in counted if event.item_id not in (None, "b")}
        found = window.user(user)
        if found is None:
            assert not rows
            assert not history.forgotten
        else:
            assert (set(found.seen.tolist()), found.forgotten) == (rows, history.forgotten)


events = st.tuples(
    st.sampled_from(USERS), st.sampled_from(ITEMS), st.sampled_from(KINDS), st.integers(0, 5)
)
numbers = st.integers(0, PARTITIONS - 1)
steps = st.one_of(
    st.tuples(st.sampled_from(("take", "fill")), numbers, st.lists(events, max_size=6)),
    st.tuples(
        st.just("begin"),
        st.dictionaries(numbers, st.integers(0, 12), min_size=1),
        st.dictionaries(numbers, st.integers(0, 12)),
    ),
)


def some_events(where: int, first: int, given_events: list[tuple[object, ...]]) -> list[Took]:
    return [
        Took(
            user,
            FreshEvent(
                item if kind == "forget" else item or "a", kind, 1.0, float(time), first + n, where
            ),
        )
        for n, (user, item, kind, time) in enumerate(given_events)
    ]


@given(st.lists(steps, max_size=12), st.dictionaries(st.integers(0, 1), st.integers(0, 8)))
def test_every_frozen_log_shows_for_ever_what_a_list_of_events_would(
    script: list[tuple[str, object, object]], ends: Mapping[int, int]
) -> None:
    log, twin = EventLog(), Twin()
    log.begin({0: 0, 1: 0})
    twin.begin({0: 0, 1: 0}, {})
    seen = [(log.frozen, list(twin.events), dict(twin.starts), dict(twin.ends))]
    for what, where, more in script:
        if what == "begin":
            shown_from = {n: where[n] + later for n, later in more.items() if n in where}
            assert log.begin(where, shown_from) == (twin.begin(where, shown_from) or twin.ends)
        elif what == "fill" and where in twin.earlier:
            _, filled, until = twin.earlier[where]
            took = some_events(where, filled, more)[: until - filled]
            take(log, where, took, twin.fill(where, took), in_hole=True)
        elif what == "take" and where in twin.ends:
            took = some_events(where, twin.ends[where], more)
            twin.take(where, took)
            take(log, where, took, twin.ends[where])
        seen.append((log.frozen, list(twin.events), dict(twin.starts), dict(twin.ends)))
        assert {
            n: [part.start, part.filled, part.until] for n, part in log.earlier.items()
        } == twin.earlier
    for frozen, held, starts, upto in seen:
        assert (frozen.starts, frozen.ends) == (starts, upto)
        shown = [took for took in held if took.event.offset >= starts.get(took.event.partition, 0)]
        assert_as_the_twin(frozen, shown, ends)


def a_log(*took: Took) -> EventLog:
    log = EventLog()
    log.begin({0: 0})
    take(log, 0, list(took), len(took))
    return log


def a_watch(item: str | int, offset: int, time: float = 1.0) -> Took:
    return Took(1, FreshEvent(item, "watch", 1.0, time, offset))


def test_of_a_users_events_the_newest_count() -> None:
    log = a_log(*(a_watch("a", offset, time=10 - offset) for offset in range(5)))

    window = a_window(log.frozen, {}, most=2)
    history = window.newest(window.history(1))

    assert [event.offset for event in history.events] == [0, 1]  # the latest by time


def test_all_that_was_seen_stays_hidden_however_much_it_is() -> None:
    log = a_log(a_watch("a", 0), *(a_watch(7, offset) for offset in range(1, 50)))

    found = a_window(log.frozen, {}, most=2).user(1)

    assert found is not None
    assert set(found.seen.tolist()) == {ROWS["a"], ROWS[7]}


def test_a_million_events_take_no_more_than_100_megabytes() -> None:
    log = EventLog()
    log.begin({0: 0})
    count = 20_000
    users = [number % 2_000 for number in range(count)]
    ones = [1.0] * count
    log.take(0, EventBatch(range(count), users, users, ["watch"] * count, ones, ones), count)

    assert log.size_bytes / count * 1e6 < 100e6


def test_what_every_version_has_learned_goes_once_it_is_much() -> None:
    log = a_log(*(a_watch("a", offset) for offset in range(100)))
    before = log.size_bytes

    log.begin({0: 90})

    assert log.size_bytes < before / 2
    assert log.frozen.ends == {0: 100}


def a_small_log(most_bytes: int) -> tuple[EventLog, list[Took]]:
    """Return a log of 40 users in turn, of whom the first 20 come no more; user 3 forgot."""
    log, took = EventLog(most_bytes), []
    log.begin({0: 0, 1: 0})
    for number in range(400):
        user = number % 20 if number < 200 else 20 + number % 20
        kind = "forget" if number == 3 else ("watch", "click")[number % 2]
        event = FreshEvent(("a", 7)[number // 20 % 2], kind, 1.0, 1.0, number // 2, number % 2)
        took.append(Took(user, event))
        take(log, number % 2, took[-1:], number // 2 + 1)
    return log, took


def test_idle_users_keep_what_they_have_seen_when_memory_is_short() -> None:
    log, took = a_small_log(17_000)
    window = a_window(log.frozen, {0: 20, 1: 20})

    assert 0 < log.packed_users < 40
    assert window.is_whole(39)
    assert window.is_whole(3)  # what was taken back is never given up
    assert not window.is_whole(1)
    for user in range(40):
        fresh = [each.event for each in took if each.user == user and each.event.offset >= 20]
        counted = history_of(fresh).events
        found = window.user(user)
        rows = set() if found is None else set(found.seen.tolist())
        assert rows == {ROWS[event.item_id] for event in counted}
        if window.is_whole(user):
            assert window.history(user).events == counted


def test_who_was_packed_and_then_forgets_has_seen_nothing() -> None:
    log, _ = a_small_log(17_000)
    user = next(user for user in range(40) if not a_window(log.frozen, {}).is_whole(user))
    at = log.frozen.ends[user % 2]
    forget = FreshEvent(None, "forget", 1.0, 2.0, at, user % 2)
    translation = ItemTranslation(lambda _: None)  # a version that knows no item

    def seen() -> set[ItemId]:
        window = VersionWindow(log.frozen, {}, ("watch", "click"), translation, 200)
        return window.seen_unknown(user)

    before = seen(), log.packed_users
    take(log, user % 2, [Took(user, forget)], at + 1)
    assert (bool(before[0]), seen()) == (True, set())
    log.begin({0: 0, 1: 0})
    a_generation = log._columns.kept(lambda places: np.ones(len(places), np.bool_))
    assert len(a_generation.packed) == before[1] - 1


def test_what_is_packed_goes_with_its_partition_and_with_its_versions() -> None:
    log, _ = a_small_log(17_000)

    log.begin({0: 1_000})

    assert (log.packed_users, log.frozen.count, log.users) == (0, 0, 0)


def test_a_forget_is_told_from_any_number_of_kinds_that_are_made_up() -> None:
    log = EventLog(1 << 62)
    log.begin({0: 0})
    made_up = [f"kind-{number}" for number in range(70_000)]
    many = len(made_up)
    ones = [1.0] * many
    log.take(0, EventBatch(range(many), [1] * many, ["a"] * many, made_up, ones, ones), many)
    log.take(0, EventBatch([many], [2], [None], ["forget"], [1.0], [2.0]), many + 1)

    found = a_window(log.frozen, {0: 0}).user(2)
    assert found is not None
    assert found.forgotten


def test_only_partitions_that_were_begun_are_read() -> None:
    log = EventLog(1 << 62)
    log.begin({0: 0})
    with pytest.raises(ShapeError, match=r"partition 3 was not begun; these were: \[0\]"):
        log.pass_over(3, 50)
    assert log.begin({0: 0, 3: 0}) == {0: 0, 3: 0}
