"""The gate: every check, on both sides of its limit, and without anything to look at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from harness.cells import each_cell
from msgspec import structs
from numpy.typing import NDArray

from registry.wire.training_records.gate_results import Check, Verdict
from training.data.matrix import Csr, Factors
from training.judging.comparison_checks import (
    ServedChange,
    check_change,
    check_quality,
)
from training.judging.gate import GateLimits, Policy, accepted_open, decide, refusal
from training.judging.model_checks import Counts, check_counts, check_factors, check_life
from training.judging.plausibility import check_plausibility
from training.judging.quality_estimates import Quality, measure
from training.judging.ranking_metrics import MEANS, Judgement

LIMITS = GateLimits(min_users=3, min_items=4, min_interactions=5, tolerance=0.1)
ENOUGH = Counts(users=3, items=4, interactions=5)


def factors(users: int = 3, items: int = 4, columns: int = 2) -> Factors:
    return Factors(np.ones((users, columns), np.float32), np.ones((items, columns), np.float32))


def verdicts(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.name: check.verdict for check in checks}


def test_just_enough_passes() -> None:
    assert set(verdicts(check_counts(ENOUGH, LIMITS)).values()) == {"pass"}


@each_cell("short", ["users", "items", "interactions"])
def test_one_too_few_fails_and_quotes_seen_and_allowed(short: str) -> None:
    least = getattr(LIMITS, f"min_{short}")
    counts = Counts(
        **{field: getattr(ENOUGH, field) - (field == short) for field in ENOUGH.__slots__}
    )

    checks = check_counts(counts, LIMITS)

    assert Check(short, "fail", str(least - 1), f"at least {least}") in checks
    assert not decide(checks).passed


def test_no_data_is_inconclusive_and_does_not_pass() -> None:
    checks = check_counts(Counts(0, 0, 0), LIMITS)

    assert set(verdicts(checks).values()) == {"inconclusive"}
    assert not decide(checks).passed


def test_finite_factors_of_the_right_shapes_pass() -> None:
    assert set(verdicts(check_factors(factors(), ENOUGH, 2)).values()) == {"pass"}


def test_swapped_matrices_fail_and_the_check_shows_both_shapes() -> None:
    shapes, _ = check_factors(factors(users=4, items=3), ENOUGH, 2)

    assert shapes == Check(
        "factor_shapes", "fail", "users 4 × 2, items 3 × 2", "users 3 × 2, items 4 × 2"
    )


def test_transposed_matrices_fail() -> None:
    transposed = Factors(factors().users.T, factors().items.T)

    assert verdicts(check_factors(transposed, ENOUGH, 2))["factor_shapes"] == "fail"


@each_cell("poison", [np.nan, np.inf, -np.inf])
@each_cell("side", ["users", "items"])
def test_a_number_that_is_not_finite_fails(poison: float, side: str) -> None:
    poisoned = factors()
    getattr(poisoned, side)[1, 1] = poison

    _, finite = check_factors(poisoned, ENOUGH, 2)

    assert finite == Check("finite_factors", "fail", "1 not finite", "all finite")


def test_a_model_that_was_not_fitted_is_inconclusive() -> None:
    assert set(verdicts(check_factors(None, ENOUGH, 2)).values()) == {"inconclusive"}


def a_quality(
    candidate: float, popular: float, incumbent: float | None = None, **more: Any
) -> Quality:
    """Every user's NDCG is the same, give or take: intervals as narrow as `spread` makes them."""
    spread = more.pop("spread", 0.0)
    noise = np.random.default_rng(3).normal(0, 1, 40)
    noise = spread * (noise - noise.mean()) / noise.std()
    rival = None if incumbent is None else judgement(np.full(40, incumbent))
    return measure(
        judgement(candidate + noise),
        judgement(np.full(40, popular)),
        rival,
        more.pop("basis", "recipe") if rival else None,
        LIMITS.tolerance,
        {name: judgement(np.full(40, field)) for name, field in more.pop("baselines", {}).items()},
        **more,
    )


def judgement(ndcg: NDArray[np.float64]) -> Judgement:
    values = np.full((len(ndcg), len(MEANS)), 0.5)
    values[:, MEANS.index("ndcg")] = ndcg
    return Judgement(np.zeros((len(ndcg), 1), np.int64), values, 0.1)


@each_cell(("popular", "verdict"), [(0.09, "pass"), (0.1, "fail"), (0.11, "fail")])
def test_a_model_must_beat_popularity(popular: float, verdict: str) -> None:
    checks = check_quality(a_quality(0.1, popular), None, LIMITS)

    assert verdicts(checks)["better_than_popularity"] == verdict


@each_cell(("spread", "verdict"), [(0.01, "pass"), (0.2, "inconclusive"), (np.nan, "inconclusive")])
def test_a_model_that_beats_popularity_by_chance_only_is_inconclusive(
    spread: float, verdict: str
) -> None:
    check, _ = check_quality(a_quality(0.12, 0.1, spread=spread), None, LIMITS)

    assert check.verdict == verdict
    assert "+0.0200 [" in check.seen or np.isnan(spread)
    assert check.allowed == "more than popularity's 0.1000"


@each_cell(("incumbent", "verdict"), [(0.05, "pass"), (0.111, "pass"), (0.112, "fail")])
def test_a_model_may_be_worse_than_the_incumbent_by_the_tolerance(
    incumbent: float, verdict: str
) -> None:
    _, check = check_quality(a_quality(0.1, 0.01, incumbent), "v0.3", LIMITS)

    assert check.verdict == verdict
    assert check.seen.startswith("NDCG@10 0.1000: ")
    assert f"(v0.3's parameters, fitted again: {incumbent:.4f}, tolerance 10%)" in check.allowed


@each_cell(("incumbent", "verdict"), [(0.07, "pass"), (0.111, "inconclusive"), (0.16, "fail")])
def test_what_the_interval_leaves_open_is_inconclusive(incumbent: float, verdict: str) -> None:
    _, check = check_quality(a_quality(0.1, 0.01, incumbent, spread=0.05), "v0.3", LIMITS)

    assert check.verdict == verdict


def test_the_same_as_the_incumbent_passes_even_without_a_tolerance() -> None:
    same = judgement(np.random.default_rng(1).random(40))
    quality = measure(same, judgement(np.zeros(40)), same, "recipe", 0.0)

    _, check = check_quality(quality, "v0.3", LIMITS)

    assert check.verdict == "pass"


def test_the_check_says_what_stood_for_the_incumbent() -> None:
    _, served = check_quality(a_quality(0.1, 0.01, 0.1, basis="published"), "v0.3", LIMITS)
    _, recipe = check_quality(a_quality(0.1, 0.01, 0.1), "v0.3", LIMITS, "its file is gone")

    assert "v0.3 as served, on interactions that are new to it" in served.allowed
    assert "v0.3's parameters, fitted again, for its file is gone" in recipe.allowed


def test_without_an_incumbent_there_is_nothing_to_be_worse_than() -> None:
    _, check = check_quality(a_quality(0.1, 0.01), None, LIMITS)

    assert (check.verdict, check.allowed) == ("pass", "anything: no incumbent")


def test_an_incumbent_that_could_not_be_judged_is_inconclusive() -> None:
    _, check = check_quality(a_quality(0.1, 0.01), "v0.3", LIMITS)

    assert check.verdict == "inconclusive"


def test_too_few_users_for_an_interval_are_inconclusive() -> None:
    few = judgement(np.ones(5))

    checks = check_quality(measure(few, judgement(np.zeros(5)), few, "recipe", 0), "v0.3", LIMITS)

    assert set(verdicts(checks).values()) == {"inconclusive"}
    assert "of fewer than 10 users" in checks[0].seen


@each_cell(
    ("candidate", "spread", "verdict"),
    [
        (0.05, 0.0, "inconclusive"),
        (0.139, 0.001, "inconclusive"),
        (0.139, 0.02, "pass"),
        (0.141, 0.0, "pass"),
        (0.3, 0.0, "pass"),
    ],
)
def test_a_model_far_below_the_best_baseline_has_something_wrong(
    candidate: float, spread: float, verdict: str
) -> None:
    baselines = {"cosine": 0.2, "bm25": 0.1}
    check = check_plausibility(a_quality(candidate, 0.01, spread=spread, baselines=baselines))

    assert check.verdict == verdict
    assert check.allowed == (
        "at least 70% of 0.2000, which item neighbours by cosine reach on the same split"
    )


def test_without_a_baseline_nothing_is_implausible_and_without_a_user_nothing_is_known() -> None:
    assert check_plausibility(a_quality(0.001, 0.01)).verdict == "pass"
    assert check_plausibility(None).verdict == "inconclusive"


def test_the_check_says_that_the_split_was_random() -> None:
    check, _ = check_quality(a_quality(0.1, 0.01, order="random"), None, LIMITS)

    assert check.seen.startswith("NDCG@10 0.1000 by a random split, because the times give no")


def test_the_interactions_that_teach_are_explained_by_the_events_that_they_come_from() -> None:
    counts = Counts(671, 9_066, 86_619, cells=99_000, pairs=100_000, events=100_004)
    check = check_counts(counts, LIMITS)[2]

    assert check.seen == (
        "86,619 pairs from 100,004 events; not used: 4 repeats of a pair; 1,000 pairs below the "
        "minimums; 12,381 pairs of weight 0"
    )


def test_an_evaluation_of_nobody_is_inconclusive() -> None:
    assert set(verdicts(check_quality(None, None, LIMITS)).values()) == {"inconclusive"}


OPEN = Check("not_worse_than_incumbent", "inconclusive", "x", "y")


@each_cell(("policy", "passes"), [("refuse", False), ("publish", True)])
def test_the_policy_decides_about_a_comparison_that_remained_open(
    policy: Policy, passes: bool
) -> None:
    good = Check("users", "pass", "1", "1")
    accepted = accepted_open(a_quality(0.1, 0.1), replace(LIMITS, inconclusive=policy))

    assert decide((good, OPEN), accepted).passed is passes


@each_cell("verdict", ["fail", "error"])
def test_no_policy_publishes_what_failed(verdict: Verdict) -> None:
    accepted = accepted_open(a_quality(0.1, 0.1), replace(LIMITS, inconclusive="publish"))

    assert not decide((structs.replace(OPEN, verdict=verdict),), accepted).passed


def test_no_policy_publishes_what_was_not_measured() -> None:
    publish = replace(LIMITS, inconclusive="publish")
    good = Check("users", "pass", "1", "1")

    assert not decide((good, OPEN), accepted_open(None, publish)).passed
    not_fitted = Check("finite_factors", "inconclusive", "not fitted", "all finite")
    assert not decide((good, not_fitted), accepted_open(a_quality(1, 0), publish)).passed


WEIGHTS = Csr(np.array([0, 2, 3, 3]), np.array([0, 1, 2], np.int32), np.ones(3, np.float32), (3, 4))
"""The third user and the fourth item have no interactions."""


def lively() -> Factors:
    random = np.random.default_rng(2)
    return Factors(*(random.random((rows, 2)).astype(np.float32) for rows in (3, 4)))


def test_factors_that_tell_rows_apart_are_alive_and_rows_without_interactions_may_be_zero() -> None:
    right = lively()
    right.users[2], right.items[3] = 0, 0

    assert check_life(right, WEIGHTS).verdict == "pass"


def test_a_column_that_is_the_same_for_all_is_dead() -> None:
    right = lively()
    right.items[:, 1] = 0.3

    check = check_life(right, WEIGHTS)

    assert (check.verdict, check.seen[:10]) == ("fail", "1 columns,")


@each_cell(
    ("side", "seen"),
    [
        ("users", "0 columns, rows of 1 users and 0 items with interactions"),
        ("items", "0 columns, rows of 0 users and 1 items with interactions"),
    ],
)
def test_a_row_of_zeros_with_interactions_is_dead(side: str, seen: str) -> None:
    right = lively()
    getattr(right, side)[1] = 0

    check = check_life(right, WEIGHTS)

    assert (check.verdict, check.seen) == ("fail", seen)


def test_life_cannot_be_told_without_sound_factors() -> None:
    right = lively()
    right.users[0, 0] = np.nan

    assert check_life(None, WEIGHTS).verdict == "inconclusive"
    assert check_life(right, WEIGHTS).verdict == "inconclusive"


@each_cell(("most", "verdict"), [(0.2, "pass"), (0.19, "fail"), (1.0, "pass")])
def test_the_share_of_changed_users_has_a_limit(most: float, verdict: str) -> None:
    limits = replace(LIMITS, max_changed=most)

    check, _ = check_change(ServedChange(50, 10, 100, 0), "v0.3", limits)

    assert (check.verdict, check.seen) == (verdict, "10 of 50 (20.0%)")


@each_cell(("most", "verdict"), [(0.03, "pass"), (0.02, "fail"), (1.0, "pass")])
def test_the_share_of_items_that_are_gone_has_a_limit(most: float, verdict: str) -> None:
    limits = replace(LIMITS, max_missing_items=most)

    _, check = check_change(ServedChange(50, 10, 100, 3), "v0.3", limits)

    assert (check.verdict, check.seen) == (verdict, "3 of 100 (3.0%)")


def test_a_change_that_could_not_be_seen_is_inconclusive_where_it_has_a_limit() -> None:
    limits = replace(LIMITS, max_changed=0.5)

    assert verdicts(check_change(None, "v0.3", limits)) == {
        "changed_users": "inconclusive",
        "missing_items": "pass",
    }
    nobody = ServedChange(0, 0, 100, 0)
    assert verdicts(check_change(nobody, "v0.3", limits))["changed_users"] == "inconclusive"


def test_an_incumbent_that_cannot_be_read_does_not_keep_its_cure_from_being_made() -> None:
    limits = replace(LIMITS, max_changed=0.0, max_missing_items=0.0)

    for check in check_change(None, "v0.3", limits, "user_factors.npy is missing"):
        assert (check.verdict, check.allowed) == ("pass", "anything: user_factors.npy is missing")


def test_without_an_incumbent_nothing_changes() -> None:
    limits = replace(LIMITS, max_changed=0.0, max_missing_items=0.0)

    assert set(verdicts(check_change(None, None, limits)).values()) == {"pass"}


def test_a_gate_without_checks_does_not_pass() -> None:
    assert not decide(()).passed


@each_cell("verdict", ["fail", "inconclusive", "error"])
def test_one_check_that_does_not_pass_closes_the_gate_and_is_the_reason(verdict: Verdict) -> None:
    good, bad = Check("a", "pass", "1", "1"), Check("b", verdict, "2", "3")

    gate = decide((good, bad))

    assert not gate.passed
    assert refusal(gate) == f"b: {verdict}: 2, allowed: 3"
