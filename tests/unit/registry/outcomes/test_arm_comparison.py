import math
from functools import reduce

import numpy as np
import pytest
from harness.cells import each_cell

from ops.bench.offline.simulated_users import Population, draw_users, look_at_every_user
from ops.bench.outcome_simulation import simulate
from registry.errors import ConfigurationError
from registry.guardrails.evidence import Sample, log_evidence_of_excess
from registry.outcomes.arm_comparison import (
    LEAST_USERS,
    compare_conversion,
    compare_ratio,
    ratio_variance,
)
from registry.outcomes.conclusion import Arm, conclude
from registry.outcomes.ratio_bound import mixture_width
from registry.outcomes.users_needed import users_needed
from registry.wire.outcome_records import ArmSums, sums_of_user


def sums_of(x, y):
    people = (sums_of_user(float(a), int(b)) for a, b in zip(x, y, strict=True))
    return reduce(ArmSums.add, people, ArmSums())


def test_the_variance_of_a_ratio_is_the_delta_methods_of_the_sample_covariance():
    rng = np.random.default_rng(3)
    y = rng.integers(1, 40, 500)
    x = rng.binomial(y, 0.3)
    covariance = np.cov(x, y)  # with n - 1
    gradient = np.array([1 / y.mean(), -x.mean() / y.mean() ** 2])
    expected = gradient @ covariance @ gradient / len(y)
    assert ratio_variance(sums_of(x, y)) == pytest.approx(expected, rel=1e-12)


def test_estimates_and_variances_are_those_of_tea_tasting():
    """Pinned from tea-tasting 1.14.0, ``RatioOfMeans`` and ``Mean``, of 200 users an arm whose
    sums these are: the difference, and its z statistic (``use_t=False, equal_var=False``).
    """
    a = ArmSums(200, 117, 237.0, 1188.0, 1169.0, 4300.0, 19334.0)
    b = ArmSums(200, 136, 318.0, 1077.0, 1808.0, 5001.0, 16131.0)
    by_user = [
        ArmSums(arm.users, arm.converted, arm.converted, arm.users, *[arm.converted] * 2, arm.users)
        for arm in (a, b)
    ]
    for arms, difference, statistic in (
        ((a, b), 0.09576967446048229, 4.881665129938512),
        (by_user, 0.09500000000000008, 1.975123596870866),
    ):
        ratios = [arm.x / arm.y for arm in arms]
        assert ratios[1] - ratios[0] == pytest.approx(difference, rel=1e-12)
        variance = sum(map(ratio_variance, arms))
        assert variance == pytest.approx((difference / statistic) ** 2, rel=1e-12)
    shown = compare_ratio(a, b, 0.05)
    assert shown.difference == pytest.approx(0.09576967446048229, rel=1e-12)


def test_the_width_is_theorem_2_2s():
    sigma, t, rho, alpha = 1.7, 900, 0.06, 0.05
    log_alpha = -2 * math.log(alpha)
    tuned_to = (log_alpha + math.log(1 + log_alpha)) / rho**2
    expected = sigma * math.sqrt(
        2 * (t * rho**2 + 1) / (t**2 * rho**2) * math.log(math.sqrt(t * rho**2 + 1) / alpha)
    )
    assert mixture_width(sigma**2 / t, t, alpha, tuned_to) == pytest.approx(expected)


def test_the_bounds_of_conversion_are_where_the_evidence_reaches_its_limit():
    shown = compare_conversion(ArmSums(3000, 1200), ArmSums(3100, 1400), 0.05)
    below, above = Sample(1200, 3000), Sample(1400, 3100)
    needed = -math.log(0.025)
    assert log_evidence_of_excess(above, below, shown.lower) == pytest.approx(needed)
    assert log_evidence_of_excess(below, above, -shown.upper) == pytest.approx(needed)


@each_cell(
    ("primary", "canary", "standing"),
    [
        (ArmSums(), ArmSums(), "no data"),
        (ArmSums(50, 10), ArmSums(), "no data"),
        (ArmSums(50, 10), ArmSums(50, 12), "undecided"),
        (ArmSums(4000, 1600), ArmSums(4000, 2000), "better"),
        (ArmSums(4000, 2000), ArmSums(4000, 1600), "worse"),
        (ArmSums(1000, 0), ArmSums(1000, 0), "undecided"),
        (ArmSums(1000, 0), ArmSums(1000, 1000), "better"),
    ],
)
def test_conversion_says_what_the_users_say(primary, canary, standing):
    assert compare_conversion(primary, canary, 0.05).standing == standing


def test_the_arms_swapped_give_the_mirrored_interval():
    arms = ArmSums(900, 300), ArmSums(800, 310)
    shown, mirrored = compare_conversion(*arms, 0.05), compare_conversion(*arms[::-1], 0.05)
    assert shown.lower == pytest.approx(-mirrored.upper, abs=1e-9)
    assert shown.upper == pytest.approx(-mirrored.lower, abs=1e-9)


def test_a_ratio_is_not_judged_with_too_few_users():
    few = sums_of([1] * (LEAST_USERS - 1), [2] * (LEAST_USERS - 1))
    enough = sums_of([1, 0] * LEAST_USERS, [2, 2] * LEAST_USERS)
    assert compare_ratio(few, enough, 0.05).standing == "no data"
    assert compare_ratio(enough, enough, 0.05).standing == "undecided"


def test_the_simulations_formulas_are_those_of_the_comparison():
    drawn = draw_users(Population(), (2, 1500), 1.0, np.random.default_rng(8))
    found = look_at_every_user(drawn, 0.05)
    for run in range(2):
        for method, compare in (("conversion", compare_conversion), ("ratio", compare_ratio)):
            at = int(getattr(found, method)[run])
            assert at > 0
            for end, decided in ((at, False), (at + 1, True)):
                sums = [
                    sums_of(drawn.x[run, :end][here], drawn.y[run, :end][here])
                    for arm in (False, True)
                    for here in (drawn.in_canary[run, :end] == arm,)
                ]
                standing = compare(*sums, 0.05).standing
                assert (standing in ("better", "worse")) == decided


def test_per_user_evidence_keeps_its_false_alarms_and_per_request_evidence_does_not():
    found = simulate(60, 1500, 0.0, 0.05, seed=1)
    assert found["conversion"].interval[0] <= 0.05
    assert found["ratio"].interval[0] <= 0.05
    assert found["naive"].interval[0] > 0.05


def test_the_users_needed_for_one_look_are_the_textbooks():
    assert users_needed(0.4, 0.1).one_look == 4773  # (1.96 + 0.8416)² · (0.24 + 0.2464) · 2 / 0.04²


def test_the_users_needed_find_the_effect_as_often_as_promised():
    plan = users_needed(0.2, 0.6)
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(200):
        seen, other = (
            Sample(int(rng.binomial(plan.anytime // 2, share)), plan.anytime // 2)
            for share in (0.32, 0.2)
        )
        found += log_evidence_of_excess(seen, other, 0.0) >= -math.log(0.025)
    assert 0.7 < found / 200 < 0.9


@each_cell(
    ("given", "named"),
    [
        ((0.0, 0.1), "baseline 0"),
        ((0.6, 0.9), "conversion with the effect 1.14"),
        ((0.4, 0.0), "effect 0"),
        ((0.4, 0.1, 1.0), "alpha 1"),
        ((0.4, 0.1, 0.05, 0.0), "power 0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(given, named):
    with pytest.raises(ConfigurationError, match=named):
        users_needed(*given)


@each_cell(
    ("primary", "canary", "verdict", "words"),
    [
        (ArmSums(), ArmSums(), "no data", "no user of A (v0.1) and B (v0.2) has a closed window"),
        (ArmSums(60, 20), ArmSums(70, 25), "undecided", "B (v0.2) and A (v0.1) may be alike"),
        (ArmSums(2000, 800), ArmSums(2000, 1000), "better", "B (v0.2) is better than A (v0.1)"),
        (ArmSums(2000, 1000), ArmSums(2000, 800), "worse", "B (v0.2) is worse than A (v0.1)"),
        (ArmSums(2000, 800), ArmSums(600, 300), "broken", "Nothing may be concluded"),
    ],
)
def test_the_words_say_what_may_be_concluded(primary, canary, verdict, words):
    found = conclude(Arm("A", "v0.1", primary), Arm("B", "v0.2", canary), 0.5)
    assert found.verdict == verdict
    assert words in found.words
