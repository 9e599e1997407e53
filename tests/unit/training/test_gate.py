"""The gate: every check, on both sides of its limit, and without anything to look at."""

from __future__ import annotations

import numpy as np
import pytest

from registry.manifest import Check
from training.evaluation import Metrics
from training.gate import (
    Counts,
    Limits,
    Quality,
    check_counts,
    check_factors,
    check_quality,
    decide,
    refusal,
)
from training.matrix import Factors

LIMITS = Limits(min_users=3, min_items=4, min_interactions=5, tolerance=0.1)
ENOUGH = Counts(users=3, items=4, interactions=5)


def factors(users: int = 3, items: int = 4, columns: int = 2) -> Factors:
    return Factors(np.ones((users, columns), np.float32), np.ones((items, columns), np.float32))


def metrics(ndcg: float) -> Metrics:
    return Metrics(hr=0.5, ndcg=ndcg, coverage=0.1)


def verdicts(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.name: check.verdict for check in checks}


def test_just_enough_passes() -> None:
    assert set(verdicts(check_counts(ENOUGH, LIMITS)).values()) == {"pass"}


@pytest.mark.parametrize("short", ["users", "items", "interactions"])
def test_one_too_few_fails_and_quotes_seen_and_allowed(short: str) -> None:
    least = getattr(LIMITS, f"min_{short}")
    counts = Counts(**{one: getattr(ENOUGH, one) - (one == short) for one in ENOUGH.__slots__})

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


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["users", "items"])
def test_a_number_that_is_not_finite_fails(poison: float, side: str) -> None:
    poisoned = factors()
    getattr(poisoned, side)[1, 1] = poison

    _, finite = check_factors(poisoned, ENOUGH, 2)

    assert finite == Check("finite_factors", "fail", "1 not finite", "all finite")


def test_a_model_that_was_not_fitted_is_inconclusive() -> None:
    assert set(verdicts(check_factors(None, ENOUGH, 2)).values()) == {"inconclusive"}


@pytest.mark.parametrize(("popular", "verdict"), [(0.09, "pass"), (0.1, "fail"), (0.11, "fail")])
def test_a_model_must_beat_popularity(popular: float, verdict: str) -> None:
    checks = check_quality(Quality(metrics(0.1), metrics(popular), None), None, LIMITS)

    assert verdicts(checks)["better_than_popularity"] == verdict


@pytest.mark.parametrize(
    ("incumbent", "verdict"), [(0.05, "pass"), (0.111, "pass"), (0.112, "fail")]
)
def test_a_model_may_be_worse_than_the_incumbent_by_the_tolerance(
    incumbent: float, verdict: str
) -> None:
    found = Quality(metrics(0.1), metrics(0.01), metrics(incumbent))

    _, check = check_quality(found, "v0.3", LIMITS)

    assert check.verdict == verdict
    assert check.seen == "NDCG@10 0.1000"
    assert f"v0.3: {incumbent:.4f}, tolerance 10%" in check.allowed


def test_without_an_incumbent_there_is_nothing_to_be_worse_than() -> None:
    _, check = check_quality(Quality(metrics(0.1), metrics(0.01), None), None, LIMITS)

    assert (check.verdict, check.allowed) == ("pass", "anything: no incumbent")


def test_an_incumbent_that_could_not_be_judged_is_inconclusive() -> None:
    _, check = check_quality(Quality(metrics(0.1), metrics(0.01), None), "v0.3", LIMITS)

    assert check.verdict == "inconclusive"


@pytest.mark.parametrize("quality", [None, Quality(None, None, None)])
def test_an_evaluation_of_nobody_is_inconclusive(quality: Quality | None) -> None:
    assert set(verdicts(check_quality(quality, None, LIMITS)).values()) == {"inconclusive"}


def test_a_score_that_is_not_a_number_does_not_pass() -> None:
    checks = check_quality(Quality(metrics(np.nan), metrics(0.1), metrics(0.1)), "v0.3", LIMITS)

    assert set(verdicts(checks).values()) == {"fail"}


def test_a_gate_without_checks_does_not_pass() -> None:
    assert not decide(()).passed


@pytest.mark.parametrize("verdict", ["fail", "inconclusive", "error"])
def test_one_check_that_does_not_pass_closes_the_gate_and_is_the_reason(verdict: str) -> None:
    good, bad = Check("a", "pass", "1", "1"), Check("b", verdict, "2", "3")  # type: ignore[arg-type]

    gate = decide((good, bad))

    assert not gate.passed
    assert refusal(gate) == f"b: {verdict}: 2, allowed is 3"
