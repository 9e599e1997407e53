"""Counts: sums over workers lose nothing, whatever the order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from registry.wire.counts import ArmCounts, ShadowCounts, sum_by_arm, sum_histograms, sum_shadows

numbers = st.integers(0, 1000)
histograms = st.dictionaries(st.integers(-340, 300), st.integers(1, 100), max_size=3)
arms = st.builds(
    ArmCounts,
    st.sampled_from(["primary", "canary"]),
    st.sampled_from(["v0.1", "v0.2"]),
    requests=numbers, errors=numbers, fallbacks=numbers, empty=numbers, users=numbers,
    scoring=histograms, latency=histograms,
)  # fmt: skip


def test_histograms_add_up_bucket_by_bucket() -> None:
    assert sum_histograms([{1: 2, 5: 1}, {}, {5: 4, -3: 1}]) == {1: 2, 5: 5, -3: 1}
    assert sum_histograms([]) == {}


def test_adding_changes_none_of_the_histograms_added() -> None:
    counts = {1: 2}
    sum_histograms([counts, {1: 3}])
    assert counts == {1: 2}


def test_arms_are_summed_by_variant_and_version() -> None:
    total = sum_by_arm(
        [
            ArmCounts("primary", "v0.1", 10, 1, 2, 3, 4, {1: 1}, {2: 1}),
            ArmCounts("canary", "v0.2", 5),
            ArmCounts("primary", "v0.1", 20, 2, 3, 4, 5, {1: 2}, {2: 2}),
        ]
    )
    assert total == (
        ArmCounts("canary", "v0.2", 5),
        ArmCounts("primary", "v0.1", 30, 3, 5, 7, 9, {1: 3}, {2: 3}),
    )
    assert sum_by_arm([]) == ()


@given(st.lists(arms, max_size=5), st.randoms())
def test_the_order_of_workers_changes_no_sum(some: list[ArmCounts], random: object) -> None:
    shuffled = list(some)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    total = sum_by_arm(some)
    assert sum_by_arm(shuffled) == total
    assert sum_by_arm([*sum_by_arm(some[:2]), *some[2:]]) == total
    assert sum(arm.requests for arm in total) == sum(arm.requests for arm in some)


def test_shadows_are_summed_field_by_field() -> None:
    counts = ShadowCounts(2, 3, 4, 1.5, 1.25, -0.5, {1: 2}, {2: 2})
    assert sum_shadows([counts, counts, ShadowCounts()]) == ShadowCounts(
        4, 6, 8, 3.0, 2.5, -1.0, {1: 4}, {2: 4}
    )
    assert sum_shadows([]) == ShadowCounts()
