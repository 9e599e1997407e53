"""Who gets which partitions: a table of cases, and what holds for all of them."""

from __future__ import annotations

from itertools import permutations

import pytest
from harness.cells import each_cell
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.partition_shares import share_partitions

Held = dict[str, set[int]]

CASES: list[tuple[str, int, Held, Held]] = [
    ("nobody", 4, {}, {}),
    ("no partition", 0, {"a": {1}, "b": set()}, {"a": set(), "b": set()}),
    ("the first worker", 4, {"a": set()}, {"a": {0, 1, 2, 3}}),
    ("two at once", 4, {"a": set(), "b": set()}, {"a": {0, 1}, "b": {2, 3}}),
    ("the second joins", 4, {"a": {0, 1, 2, 3}, "b": set()}, {"a": {0, 1}, "b": {2, 3}}),
    (
        "a third joins two",
        4,
        {"a": {0, 1}, "b": {2, 3}, "c": set()},
        {"a": {0, 1}, "b": {2}, "c": {3}},
    ),
    (
        "a fourth joins three",
        4,
        {"a": {0, 1}, "b": {2}, "c": {3}, "d": set()},
        {"a": {0}, "b": {2}, "c": {3}, "d": {1}},
    ),
    (
        "a fifth finds none left, and nothing moves",
        4,
        {"a": {0}, "b": {2}, "c": {3}, "d": {1}, "e": set()},
        {"a": {0}, "b": {2}, "c": {3}, "d": {1}, "e": set()},
    ),
    ("one leaves", 4, {"a": {0, 1}, "c": {3}}, {"a": {0, 1}, "c": {2, 3}}),
    ("nothing changes", 4, {"a": {3, 1}, "b": {0, 2}}, {"a": {1, 3}, "b": {0, 2}}),
    ("uneven, and even enough", 3, {"b": {0, 2}, "a": {1}}, {"a": {1}, "b": {0, 2}}),
    (
        "two claim what one of them lost",
        4,
        {"a": {0, 1}, "b": {1, 2}},
        {"a": {0, 1}, "b": {2, 3}},
    ),
    ("both claim all", 2, {"a": {0, 1}, "b": {0, 1}}, {"a": {0}, "b": {1}}),
    ("partitions that are gone", 2, {"a": {5, 6}, "b": {1}}, {"a": {0}, "b": {1}}),
    ("partitions were added", 6, {"a": {0, 1}, "b": {2, 3}}, {"a": {0, 1, 4}, "b": {2, 3, 5}}),
    ("the control partition stays", 1, {"a": set(), "b": {0}}, {"a": set(), "b": {0}}),
]


@each_cell(
    ("partitions", "held", "shares"), [pytest.param(*case, id=name) for name, *case in CASES]
)
def test_partitions_are_shared_as_the_table_says(partitions: int, held: Held, shares: Held) -> None:
    assert share_partitions(partitions, held) == shares


@each_cell("members", range(1, 10))
@each_cell("partitions", [1, 4, 8, 12])
def test_workers_that_join_one_by_one_each_get_a_share_while_there_are_partitions(
    partitions: int, members: int
) -> None:
    shares: Held = {}
    for number in range(members):
        shares = share_partitions(partitions, shares | {f"m{number}": set()})
    assert sum(1 for share in shares.values() if share) == min(partitions, members)


def test_a_free_partition_goes_to_who_has_the_fewest_of_other_topics() -> None:
    assert share_partitions(1, {"a": set(), "b": set()}, {"a": 2, "b": 1})["b"] == {0}
    assert share_partitions(1, {"a": {0}, "b": set()}, {"a": 9, "b": 1})["a"] == {0}


HELD = st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.integers(0, 13)), min_size=1)


@given(st.integers(0, 12), HELD)
def test_every_partition_has_one_owner_and_counts_are_never_two_apart(
    partitions: int, held: Held
) -> None:
    shares = share_partitions(partitions, held)
    assert shares.keys() == held.keys()
    assert sorted(number for share in shares.values() for number in share) == list(
        range(partitions)
    )
    sizes = [len(share) for share in shares.values()]
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(0, 12), HELD)
def test_shared_again_nothing_moves(partitions: int, held: Held) -> None:
    shares = share_partitions(partitions, held)
    assert share_partitions(partitions, shares) == shares


@given(st.integers(0, 12), st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=5))
def test_no_even_way_of_sharing_moves_fewer_partitions(
    partitions: int, claims: list[set[int]]
) -> None:
    taken: set[int] = set()
    held: Held = {}
    for place, claim in enumerate(claims):  # disjoint, as after a rebalance that all have seen
        held[f"m{place}"] = {number for number in claim - taken if number < partitions}
        taken |= claim
    shares = share_partitions(partitions, held)
    kept = sum(len(shares[member] & held[member]) for member in held)
    floor, spare = divmod(partitions, len(held))
    sizes = [floor + 1] * spare + [floor] * (len(held) - spare)
    best = max(
        sum(min(size, len(held[member])) for size, member in zip(sizes, order, strict=True))
        for order in permutations(held)
    )
    assert kept == best
