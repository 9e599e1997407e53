"""The sight of a batch: how much of what is fresh an answer knows, and up to where."""

from __future__ import annotations

from typing import Any

from harness.cells import each_cell

from registry.fresh.event_columns import EventBatch
from registry.fresh.event_log import EventLog
from registry.fresh.fresh_sight import FreshRange, FreshSight
from registry.wire.training_records.event_weights import EventWeight

RANGE = FreshRange.of({"0": (0, 5), "1": (0, 7)}, {"watch": EventWeight(1.0)}, {"a": 0}.get)


def a_sight(**given: Any) -> FreshSight:
    log = EventLog()
    log.begin({0: 5, 1: 7})
    log.take(0, EventBatch([5], [1], ["a"], ["watch"], [1.0], [1.0]), end=6)
    return FreshSight(log.frozen, {"v0.1": RANGE}, {0: (0,), 1: (1,), 2: (0, 1)}, **given)


def test_an_answer_names_how_far_was_read_where_its_users_events_may_be() -> None:
    sight = a_sight()

    assert sight.offsets(0) == {"0": 6}
    assert sight.offsets(2) == {"0": 6, "1": 7}


def test_of_a_partition_that_nobody_follows_nothing_is_known() -> None:
    sight = a_sight()

    assert (sight.offsets(3), sight.fresh_state("v0.1", 3)) == ({}, "unknown")


@each_cell(
    ("given", "version", "partition", "state"),
    [
        ({}, "v0.1", 0, "followed"),
        ({}, "v0.2", 0, "unknown"),
        ({"lagging": {"v0.1": {1}}}, "v0.1", 0, "followed"),
        ({"lagging": {"v0.1": {1}}}, "v0.1", 2, "catching_up"),
        ({"gaps": {"v0.1": {0}}}, "v0.1", 0, "incomplete"),
        ({"gaps": {"v0.1": {0}}}, "v0.1", 1, "followed"),
        ({"gaps": {"v0.1": {0}}, "lagging": {"v0.1": {0}}}, "v0.1", 0, "catching_up"),
    ],
)
def test_each_state_of_an_answer(
    given: dict[str, Any], version: str, partition: int, state: str
) -> None:
    assert a_sight(**given).fresh_state(version, partition) == state


def test_users_are_seen_by_the_range_of_each_version() -> None:
    sight = a_sight()

    (known,) = sight.users("v0.1", [1])
    assert known is not None
    assert known.seen.tolist() == [0]
    assert sight.users("v0.2", [1]) == []
