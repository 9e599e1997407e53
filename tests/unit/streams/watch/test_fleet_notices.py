"""What is odd about a fleet: too many workers, several of one name."""

from __future__ import annotations

from typing import Any

from harness.cells import each_cell
from msgspec.structs import replace

from registry.guardrails.live_workers import LIVE_SECONDS, WORKERS_NAMED
from registry.wire.heartbeats import Heartbeat
from streams.watch.fleet_notices import HEARD_SECONDS, fleet_notices

NOW = 1_700_000_000.0


def a_beat(worker: str, partitions: int | None = 1, **given: Any) -> Heartbeat:
    fields = {"instance": f"{worker}@1", "environment": "production", "at": NOW - 0.5} | given
    return Heartbeat(worker, partitions=partitions, **fields)


def codes(*fleet: Heartbeat, partitions: int = 2) -> list[str]:
    return [notice.code for notice in fleet_notices(fleet, NOW, partitions)]


def test_workers_that_all_have_something_to_answer_are_as_they_should_be() -> None:
    assert codes() == []
    assert codes(a_beat("a", 2), a_beat("b", 2), partitions=4) == []


def test_more_workers_than_partitions_are_named_with_what_to_do() -> None:
    (notice,) = fleet_notices([a_beat("a"), a_beat("b"), a_beat("c", 0)], NOW, 2)
    assert notice.code == "idle_workers"
    assert notice.message.startswith(
        "3 workers share 2 request partitions, so 1 have none and answer nothing: c; stop them"
    )


@each_cell(
    "third",
    [
        a_beat("c", None),
        a_beat("c", 0, at=NOW - LIVE_SECONDS - 1),
        a_beat("c", 0, stopping=True),
    ],
    ids=["of a release before", "silent", "stopping"],
)
def test_a_worker_that_says_nothing_of_partitions_or_is_gone_is_not_idle(third: Heartbeat) -> None:
    assert codes(a_beat("a"), a_beat("b"), third) == []


def test_a_worker_that_waits_for_its_share_while_there_are_enough_is_not_too_many() -> None:
    assert codes(a_beat("a", 4), a_beat("b", 0), partitions=4) == []


def test_two_that_beat_under_one_name_are_named() -> None:
    twins = a_beat("a", instance="a@1"), a_beat("a", instance="a@2")
    (notice,) = fleet_notices([*twins, a_beat("b")], NOW, 4)
    assert notice.code == "same_name"
    assert (
        "more than one worker is called a; set a different RECSTREAM_WORKER for each"
        in notice.message
    )


def test_a_worker_that_was_restarted_is_no_twin_of_the_one_before() -> None:
    new = a_beat("a", instance="a@2")
    for old in (replace(new, instance="a@1", at=NOW - HEARD_SECONDS - 0.1),
                replace(new, instance="a@1", stopping=True)):  # fmt: skip
        assert codes(old, new) == []


def test_of_very_many_idle_workers_some_are_named() -> None:
    fleet = [a_beat(f"w{number:02}", 0) for number in range(WORKERS_NAMED + 5)]
    (notice,) = fleet_notices(fleet, NOW, 1)
    assert "w19 and 5 more;" in notice.message
