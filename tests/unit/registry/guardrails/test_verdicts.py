"""The guardrails: what each rule says."""

from __future__ import annotations

import math
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from harness.cells import each_cell

from ops.bench.offline.ramp_counts import SimulatedTraffic, Version
from ops.bench.ramp_simulation import (
    AT_THE_LIMITS,
    GOOD,
    draw_steps,
    report,
    rolled_back,
    simulate,
)
from registry.guardrails.evidence import Sample, log_evidence_of_excess
from registry.guardrails.histogram import bucket_counts
from registry.guardrails.min_overlap import judge_shadow
from registry.guardrails.sample_ratio import sample_ratio
from registry.guardrails.verdicts import judge, worst
from registry.wire.counts import ArmCounts, ShadowCounts
from registry.wire.ramp_values import Finding, Guardrails, Ramp

ALPHA = 1 / 500
OFF = Guardrails(
    error_rate=None, fallback_rate=None, empty_rate=None, latency_ratio=None, sample_ratio=False
)


def an_arm(**given: Any) -> ArmCounts:
    fields: dict[str, Any] = {"variant": "", "version": "", "requests": 10_000, "users": 1000}
    return ArmCounts(**fields | given)


def timed(seconds: float, count: int = 2000) -> dict[int, int]:
    spread = np.random.default_rng(3).normal(1, 0.1, count)
    return bucket_counts(seconds * np.abs(spread))


def findings(
    canary: ArmCounts | None, primary: ArmCounts | None, limits: Guardrails, **given: Any
) -> dict[str, Finding]:
    asked: dict[str, Any] = {"percentage": 50, "alpha": ALPHA, "min_requests": 1000}
    judged = judge(limits, canary, primary, **asked | given)
    assert len({finding.guardrail for finding in judged}) == len(judged)
    return {finding.guardrail: finding for finding in judged}


def only(limit: str, value: Any) -> Guardrails:
    return cast(Guardrails, msgspec.structs.replace(OFF, **{limit: value}))


# Rates

RATE = [("error_rate", "errors"), ("fallback_rate", "fallbacks"), ("empty_rate", "empty")]


@each_cell(("rule", "field"), RATE)
@each_cell(
    ("bad", "verdict"), [(1000, "fail"), (510, "inconclusive"), (0, "pass")]
)  # fmt: skip
def test_a_rate_is_judged_against_the_primarys_plus_the_margin(
    rule: str, field: str, bad: int, verdict: str
) -> None:
    canary, primary = an_arm(**{field: bad}), an_arm(**{field: 10})

    finding = findings(canary, primary, only(rule, 0.05))[rule]

    assert finding.verdict == verdict
    assert finding.figures["canary"] == bad / 10_000
    assert finding.figures["primary"] == 0.001


def test_the_message_of_a_failure_quotes_what_was_seen_and_what_is_allowed() -> None:
    canary, primary = an_arm(requests=1204, errors=61), an_arm(requests=21_450, errors=4)

    finding = findings(canary, primary, only("error_rate", 0.01))["error_rate"]

    assert finding.message == (
        "errors 5.07 % of 1,204 against 0.02 % of 21,450: more than 1 percentage point worse "
        "(e-value 6.5e+17, needs 5.0e+02)"
    )


def test_errors_of_the_primary_excuse_as_many_of_the_canary() -> None:
    arm = an_arm(errors=3000)

    assert findings(arm, arm, only("error_rate", 0.1))["error_rate"].verdict == "pass"


def test_a_failure_needs_no_least_number_of_requests() -> None:
    canary, primary = an_arm(requests=40, errors=40), an_arm()

    judged = findings(canary, primary, only("error_rate", 0.01))

    assert judged["min_requests"].verdict == "inconclusive"
    assert judged["error_rate"].verdict == "fail"


@each_cell(("margin", "verdict"), [(0.0, "inconclusive"), (1.0, "pass")])
def test_no_margin_cannot_be_proven_and_a_whole_one_cannot_be_missed(
    margin: float, verdict: str
) -> None:
    judged = findings(an_arm(), an_arm(), only("error_rate", margin))

    assert judged["error_rate"].verdict == verdict


@each_cell(("rule", "field"), RATE)
@each_cell("count", [-1, 10_001])
def test_counts_that_contradict_themselves_are_an_error(rule: str, field: str, count: int) -> None:
    for arms in ((an_arm(**{field: count}), an_arm()), (an_arm(), an_arm(**{field: count}))):
        finding = findings(*arms, only(rule, 0.05))[rule]
        assert finding.verdict == "error"
        assert f"{count:,}" in finding.message


@each_cell(
    ("canary_rate", "verdict", "requests"),
    [(0, "pass", 1648), (0.002, "pass", 2727), (0.01, "pass", 7598), (0.05, "fail", 803),
     (0.2, "fail", 103), (1, "fail", 9)],
)  # fmt: skip
def test_the_requests_that_a_verdict_needs_are_those_of_the_page(
    canary_rate: float, verdict: str, requests: int
) -> None:
    """``docs/explanation/guardrails.md``: as many of the primary, as bad, or with 0.2 %."""
    primary_rate = canary_rate if verdict == "pass" else 0.002

    def weighed(count: int) -> bool:
        canary, primary = (Sample(count * rate, count) for rate in (canary_rate, primary_rate))
        worse = log_evidence_of_excess(canary, primary, 0.01)
        good = log_evidence_of_excess(primary, canary, -0.01)
        return (worse if verdict == "fail" else good) >= math.log(3000)

    assert not weighed(requests - 1)
    assert weighed(requests)


# Latency


@each_cell(("seconds", "verdict"), [(0.012, "fail"), (0.008, "inconclusive"), (0.004, "pass")])
def test_a_latency_is_judged_against_the_ratio(seconds: float, verdict: str) -> None:
    canary, primary = an_arm(scoring=timed(seconds)), an_arm(scoring=timed(0.004))

    finding = findings(canary, primary, only("latency_ratio", 2.0))["latency_ratio"]

    assert finding.verdict == verdict
    assert "scoring p50" in finding.message
    assert finding.figures["canary_lower_seconds"] < finding.figures["canary_seconds"]


def test_the_primary_times_it_takes_to_be_sure_are_said_to_be_missing() -> None:
    few, many = an_arm(scoring=timed(0.004, 4)), an_arm(scoring=timed(0.004))

    finding = findings(few, many, only("latency_ratio", 2.0))["latency_ratio"]

    assert finding.verdict == "inconclusive"
    assert "to ?) of 4 " in finding.message
    assert "canary_upper_seconds" not in finding.figures


def test_a_bucket_cannot_hold_less_than_nothing() -> None:
    arms = an_arm(scoring={0: 9, 1: -1}), an_arm(scoring={0: 9})

    assert findings(*arms, only("latency_ratio", 2.0))["latency_ratio"].verdict == "error"


# The split of users


@each_cell(
    ("canary", "primary", "share", "verdict"),
    [
        (500, 9500, 0.05, "pass"),
        (700, 9300, 0.05, "fail"),
        (300, 9700, 0.05, "fail"),
        (5, 94, 0.05, "inconclusive"),  # 99 users
        (0, 120, 0.01, "inconclusive"),  # nobody yet where somebody belongs
        (0, 2000, 0.01, "fail"),  # nobody where 20 belong
        (100, 0, 1.0, "pass"),
        (100, 1, 1.0, "fail"),
        (0, 100, 0.0, "pass"),
        (0, 0, 0.5, "inconclusive"),
        (-1, 100, 0.5, "error"),
    ],
)
def test_users_must_be_split_as_the_rule_says(
    canary: int, primary: int, share: float, verdict: str
) -> None:
    assert sample_ratio(canary, primary, share, 1 / 3000).verdict == verdict


def test_the_classical_test_is_told_and_not_used() -> None:
    """χ² = 10²/50 + 10²/50 = 4, P = 0.0455 (as scipy.stats.chisquare has it)."""
    finding = sample_ratio(60, 40, 0.5, 0.05)

    assert finding.figures["chi_squared"] == pytest.approx(4)
    assert finding.figures["p_value"] == pytest.approx(0.04550026389635857)
    assert "not valid if checked repeatedly" in finding.message
    assert finding.verdict == "pass"


def test_an_ab_test_names_its_own_arms() -> None:
    finding = sample_ratio(60, 40, 0.5, 1 / 3000, names=("B", "A"))

    assert finding.message.startswith(
        "users 60 B, 40 A: 60.00 % B, the rule says 50.00 % (e-value 6.0e-01"
    )


def test_users_are_left_out_where_the_primary_is_of_an_earlier_stage() -> None:
    limits = only("sample_ratio", True)

    assert "sample_ratio" in findings(an_arm(), an_arm(), limits)
    assert "sample_ratio" not in findings(an_arm(), an_arm(), limits, compare_users=False)


# All of them


@each_cell("arms", [(None, None), (an_arm(), None), (None, an_arm())])
def test_no_data_is_never_a_pass(arms: tuple[ArmCounts | None, ArmCounts | None]) -> None:
    judged = findings(*arms, Guardrails())
    del judged["min_requests"]

    assert len(judged) == 5
    assert {finding.verdict for finding in judged.values()} <= {"inconclusive", "fail"}
    rules = ("error_rate", "fallback_rate", "empty_rate", "latency_ratio")
    assert all("no data yet" in judged[rule].message for rule in rules)


def test_a_guardrail_that_is_off_says_nothing() -> None:
    assert list(findings(None, None, OFF)) == ["min_requests"]


@each_cell(("requests", "verdict"), [(999, "inconclusive"), (1000, "pass")])
def test_a_canary_needs_its_least_number_of_requests(requests: int, verdict: str) -> None:
    finding = findings(an_arm(requests=requests), an_arm(), OFF)["min_requests"]

    assert finding.verdict == verdict
    assert f"{requests:,}" in finding.message
    assert "1,000" in finding.message


def test_figures_survive_json_even_where_evidence_is_infinite() -> None:
    canary = an_arm(requests=10**9, errors=10**9, scoring=timed(0.004, 10), users=7)
    for limits in (Guardrails(), Guardrails(error_rate=1.0)):
        judged = judge(
            limits, canary, an_arm(), percentage=100, alpha=ALPHA, min_requests=1
        )  # fmt: skip
        encoded = msgspec.json.encode(judged)
        assert msgspec.json.decode(encoded, type=tuple[Finding, ...]) == judged


# Shadow


@each_cell(
    ("overlap", "least", "verdict"),
    [
        (900.0, 0.8, "pass"),
        (800.0, 0.8, "inconclusive"),
        (700.0, 0.8, "fail"),
        (0.0, 0.0, "pass"),
        (500.0, 0.0, "pass"),
        (1000.0, 1.0, "pass"),
        (999.9, 1.0, "fail"),
    ],
)
def test_shadow_answers_must_overlap_enough(overlap: float, least: float, verdict: str) -> None:
    counts = ShadowCounts(compared=1000, overlap=overlap)

    enough, finding = judge_shadow(counts, min_overlap=least, alpha=ALPHA, min_compared=1000)

    assert (enough.verdict, finding.verdict) == ("pass", verdict)


def test_a_comparison_that_failed_is_no_overlap() -> None:
    counts = ShadowCounts(compared=1000, overlap=950.0, failed=300)

    _, finding = judge_shadow(counts, min_overlap=0.8, alpha=ALPHA, min_compared=1)

    assert finding.verdict == "fail"
    assert (
        "mean overlap 0.731 of 1,300 (300 failed, counted as 0): less than 0.8" in finding.message
    )


def test_nothing_compared_is_no_pass_even_where_anything_is_allowed() -> None:
    judged = judge_shadow(ShadowCounts(), min_overlap=0, alpha=ALPHA, min_compared=1)

    assert [finding.verdict for finding in judged] == ["inconclusive", "inconclusive"]


@each_cell(
    "counts",
    [
        ShadowCounts(compared=10, overlap=10.5),
        ShadowCounts(compared=10, overlap=-0.1),
        ShadowCounts(compared=10, overlap=math.nan),
        ShadowCounts(compared=10, failed=-1),
    ],
)
def test_shadow_counts_that_contradict_themselves_are_an_error(counts: ShadowCounts) -> None:
    (finding,) = judge_shadow(counts, min_overlap=0.5, alpha=ALPHA, min_compared=1)

    assert finding.verdict == "error"


# Whole ramps: 16 looks a step; hundreds of ramps are in `tests/contract/test_ramp_simulation.py`

LOOKS = Ramp(steps=(1, 5, 25, 50, 100), hold_seconds=8, patience_seconds=8)
BUSY = SimulatedTraffic(requests=40_000, users=1000, timed=100)


def test_a_version_exactly_at_every_limit_is_rolled_back_as_rarely() -> None:
    plan = msgspec.structs.replace(LOOKS, steps=(50,), false_alarm=0.5)

    ends = simulate(
        AT_THE_LIMITS, GOOD, runs=200, seed=3, plan=plan, traffic=BUSY, only_failures=True
    )

    assert rolled_back(ends) <= plan.false_alarm, report("at the limits", ends)


def test_the_simulation_misses_no_failure_that_the_guardrails_would_see() -> None:
    plan = msgspec.structs.replace(LOOKS, steps=(25, 100), false_alarm=0.5)
    canary = Version(errors=0.022, fallbacks=0.08, empty=0.015, scoring_seconds=0.0083)
    few = SimulatedTraffic(requests=1000, users=50, timed=40)
    steps = draw_steps(np.random.default_rng(6), canary, GOOD, plan, few, 4)
    for step in steps:
        suspects = step.suspects()
        failed = np.array(
            [[worst(step.judge(run, second)) == "fail" for second in range(16)] for run in range(4)]
        )
        assert failed.any()
        assert not failed.all()
        assert not (failed & ~suspects).any()
