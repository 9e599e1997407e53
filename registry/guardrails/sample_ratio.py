"""The guardrail ``sample_ratio``: whether users are split between the arms according to the rule.

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

from registry.guardrails.evidence import (
    Sample,
    log_e_value,
)
from registry.guardrails.finding_text import (
    contradiction,
    e_value_in_words,
    finite,
    needed,
    no_data,
    percent,
)
from registry.wire.ramp_values import Finding, Verdict

USERS_JUDGED: Final = 100
"""Least users before their split may pass. With 100, at a usual `alpha` of 1/3000, 73 of 100 where
50 belong, or 18 where 5 do, have already failed; with fewer, almost any split would pass."""


def sample_ratio(
    users_canary: int,
    users_primary: int,
    expected_share: float,
    alpha: float,
    names: tuple[str, str] = ("canary", "primary"),
) -> Finding:
    """Return whether the users that were seen are split as the rule says.

    Sequentially, so that it may be checked at any time (Lindon and Malek 2022, with Jeffreys'
    prior). A mismatch means that the arms cannot be compared: buckets are computed wrongly, one
    arm's requests get lost, or the ids are not spread evenly.

    Parameters
    ----------
    users_canary, users_primary
        Different users seen in each arm; B and A of an A/B test.
    expected_share
        Share of users that the rule gives to the canary, 0..1.
    alpha
        Most probability that a right split ever fails.
    names
        What the message calls the two arms.
    """
    counted = f"users {users_canary:,} {names[0]}, {users_primary:,} {names[1]}"
    if min(users_canary, users_primary) < 0:
        return contradiction("sample_ratio", counted)
    users = users_canary + users_primary
    if not users:
        return no_data("sample_ratio", "users")
    log_e = log_e_value(Sample(users_canary, users), expected_share)
    missing = (expected_share > 0 and not users_canary) or (
        expected_share < 1 and not users_primary
    )
    enough = users >= USERS_JUDGED and not missing
    words: Mapping[Verdict, str] = {
        "fail": f"not the {percent(expected_share)} that the rule gives",
        "pass": f"the rule says {percent(expected_share)}",
        "inconclusive": f"the rule says {percent(expected_share)}, too few to tell",
    }
    verdict: Verdict = "inconclusive"
    if log_e >= -math.log(alpha):
        verdict = "fail"
    elif enough:
        verdict = "pass"
    classical = _chi_squared(users_canary, users, expected_share)
    message = (
        f"{counted}: {percent(users_canary / users)} {names[0]}, {words[verdict]} "
        f"(e-value {e_value_in_words(log_e)}, {needed(alpha)}{classical.words})"
    )
    figures = {
        "canary_users": float(users_canary),
        "primary_users": float(users_primary),
        "seen_share": users_canary / users,
        "expected_share": expected_share,
        "log10_e_mismatch": log_e / math.log(10),
        "log10_e_needed": -math.log10(alpha),
    }
    return Finding("sample_ratio", verdict, message, finite(figures | classical.figures))


class _Classical(NamedTuple):
    words: str
    figures: dict[str, float]


def _chi_squared(seen: int, count: int, share: float) -> _Classical:
    """Describe a split by Pearson's test: right for one look that was planned, never used here.

    ``χ² = (s - n p)² / (n p (1 - p))`` with one degree of freedom, so ``P = erfc(√(χ² / 2))``.
    """
    variance = count * share * (1 - share)
    if variance <= 0:
        return _Classical("", {})
    statistic = (seen - count * share) ** 2 / variance
    p_value = math.erfc(math.sqrt(statistic / 2))
    words = f"; chi-squared {statistic:.2f}, p {p_value:.2g}, not valid if checked repeatedly"
    return _Classical(words, {"chi_squared": statistic, "p_value": p_value})
