"""The guardrail ``preference``: whether users prefer the primary version, of two in one list.

Pure. It judges a ramp's stage ``interleaving``. As every guardrail it may be looked at all the time
(`registry.interleaving.preference`). Nothing can show that users like two versions equally, so it
passes as long as they do not prefer the primary, once enough of them prefer one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from registry.guardrails.evidence import Sample, log_e_value
from registry.guardrails.finding_text import (
    contradiction,
    e_value_in_words,
    enough_seen,
    finite,
    needed,
    no_data,
)
from registry.interleaving.preference import PreferenceTally
from registry.wire.ramp_values import Finding, Verdict

PREFERENCE: Final = "preference"


def judge_preference(tally: PreferenceTally, min_users: int, alpha: float) -> tuple[Finding, ...]:
    """Return whether enough users prefer one version, and whether it is the primary.

    Parameters
    ----------
    tally
        Closed users, by the version that they prefer.
    min_users
        Least users that prefer one.
    alpha
        Most probability that a version that users like as well ever fails; 0..1 exclusive.

    Examples
    --------
    >>> [each.verdict for each in judge_preference(PreferenceTally(8, 40, 12), 30, 0.001)]
    ['pass', 'fail']
    >>> [each.verdict for each in judge_preference(PreferenceTally(8, 10, 12), 30, 0.001)]
    ['inconclusive', 'inconclusive']
    """
    if min(tally) < 0:
        return (
            contradiction(PREFERENCE, f"users {tally.wins:,}, {tally.losses:,}, {tally.ties:,}"),
        )
    decided = tally.wins + tally.losses
    enough = enough_seen("min_users", decided, min_users)
    if not decided:
        return enough, no_data(PREFERENCE, "users who prefer one of the two versions")
    log_e = log_e_value(Sample(tally.wins, decided), 0.5)
    verdict: Verdict = "pass" if decided >= min_users else "inconclusive"
    if tally.losses > tally.wins and log_e >= -math.log(alpha):
        verdict = "fail"
    words: Mapping[Verdict, str] = {
        "fail": "users prefer the primary version",
        "pass": "users do not prefer the primary version",
        "inconclusive": "too few to tell",
    }
    message = (
        f"{tally.wins:,} users prefer canary, {tally.losses:,} primary, {tally.ties:,} neither: "
        f"{words[verdict]} (e-value {e_value_in_words(log_e)}, {needed(alpha)})"
    )
    figures = {
        "wins": float(tally.wins),
        "losses": float(tally.losses),
        "ties": float(tally.ties),
        "log10_e": log_e / math.log(10),
        "log10_e_needed": -math.log10(alpha),
    }
    return enough, Finding(PREFERENCE, verdict, message, finite(figures))
