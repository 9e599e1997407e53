"""Following: every interaction of a user is read by the worker that has his requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from registry.fresh.followed_partitions import Following, plan_following

counts = st.integers(1, 16)


@given(st.integers(0, 10**9), counts, st.lists(counts, min_size=1, max_size=3))
def test_a_users_interactions_are_found_whatever_the_partitions_before_and_now(
    key_hash: int, requests: int, history: list[int]
) -> None:
    history = sorted(history)  # topics only grow
    known, interactions = history[:-1] or history, history[-1]

    found = plan_following(
        [key_hash % requests], requests, interactions, [dict.fromkeys(range(n), 7) for n in known]
    )

    (meeting,) = found.meeting.values()
    assert {key_hash % count for count in history} <= set(meeting)
    assert set(meeting) == set(found.starts)


def test_where_all_agree_a_worker_follows_the_numbers_that_it_serves() -> None:
    found = plan_following([1, 5], 8, 8, [dict.fromkeys(range(8), 9)])

    assert found == Following({1: 9, 5: 9}, {1: (1,), 5: (5,)})


def test_it_follows_from_the_smallest_end_of_its_versions() -> None:
    ends = [{0: 50, 1: 10}, {0: 40, 1: 90}]

    assert plan_following([0, 1], 2, 2, ends).starts == {0: 40, 1: 10}


def test_all_of_a_partition_that_a_version_does_not_know_is_fresh() -> None:
    assert plan_following([1], 2, 2, [{0: 50}]).starts == {0: 50, 1: 0}


def test_everything_is_followed_where_partitioners_disagree() -> None:
    found = plan_following([1], 3, 3, [dict.fromkeys(range(3), 9)], everything=True)

    assert found == Following({0: 9, 1: 9, 2: 9}, {1: (0, 1, 2)})


def test_without_a_version_or_a_partition_nothing_is_followed() -> None:
    nothing = Following({}, {})

    assert plan_following([], 8, 8, [{0: 1}]) == nothing
    assert plan_following([1], 8, 8, []) == nothing
    assert plan_following([1], 8, 0, [{0: 1}]) == nothing
