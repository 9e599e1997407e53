"""Simulated users through the ramp's own decision: what they like better is promoted, no more."""

from __future__ import annotations

from ops.bench.offline.goal_simulation import simulate_ramp


def test_what_users_like_is_promoted_and_what_they_do_not_is_rolled_back() -> None:
    better = [simulate_ramp(0.3, seed, 10_000).fate for seed in range(5)]
    worse = [simulate_ramp(-0.3, seed, 10_000).fate for seed in range(5)]
    assert (set(better), set(worse)) == ({"promoted"}, {"rolled back"})


def test_what_users_like_as_much_is_promoted_at_most_once_in_twenty() -> None:
    fates = [simulate_ramp(0.0, seed, 3_000, looks_apart=500).fate for seed in range(20)]
    assert fates.count("promoted") <= 1
