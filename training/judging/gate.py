"""The gate: may this model be published? A pure function of the checks of what a run has found.

Knows verdicts and limits; must not know how either came about. A check quotes the value seen and
the value allowed: :mod:`training.judging.model_checks` checks the model alone,
:mod:`training.judging.comparison_checks` compares it with others,
:mod:`training.judging.plausibility` with item neighbours.

"No data" is `inconclusive`: it is never good. Only a measurement that remained open is left to the
policy (``RETRAIN_INCONCLUSIVE``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from registry.wire.training_records.gate_results import Check, Gate, Verdict
from training.judging.quality_estimates import Quality

Policy: TypeAlias = Literal["publish", "refuse"]

COMPARISONS: Final = ("better_than_popularity", "not_worse_than_incumbent")
"""Checks that a sample of users can leave open."""

PLAUSIBLE: Final = "plausible"
"""The check that looks for something wrong, and proves nothing."""


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What the settings allow.

    Parameters
    ----------
    min_users, min_items, min_interactions
        Least size of the training set.
    tolerance
        The share of the incumbent's NDCG@10 that a new version may be worse by.
    max_changed
        The share of users whose ten best items may mostly be others; 1: no limit.
    max_missing_items
        The share of the incumbent's items that may be gone; 1: no limit.
    inconclusive
        What a comparison that remains open does to the run.
    """

    min_users: int
    min_items: int
    min_interactions: int
    tolerance: float
    max_changed: float = 1.0
    max_missing_items: float = 1.0
    inconclusive: Policy = "refuse"


def passed(checks: Collection[Check]) -> bool:
    """Tell whether there are checks and all of them say `pass`."""
    return bool(checks) and all(check.verdict == "pass" for check in checks)


def decide(checks: tuple[Check, ...], accepted: Collection[str] = ()) -> Gate:
    """Combine the checks; those `accepted` may be inconclusive."""
    closing = [
        check for check in checks if check.verdict != "inconclusive" or check.name not in accepted
    ]
    return Gate(passed=passed(closing), checks=checks)


def accepted_open(quality: Quality | None, limits: GateLimits) -> tuple[str, ...]:
    """Return the checks that may be inconclusive: by policy, and of what was measured only.

    >>> accepted_open(None, GateLimits(1, 1, 1, 0.1, inconclusive="publish"))
    ()
    """
    if quality is None or limits.inconclusive == "refuse":
        return ()
    return *COMPARISONS, PLAUSIBLE


def refusal(gate: Gate) -> str:
    """Return why a gate did not pass, one clause per check that did not.

    >>> refusal(Gate(False, (Check("users", "fail", "1", "at least 20"),)))
    'users: fail: 1, allowed: at least 20'
    """
    return "; ".join(
        f"{check.name}: {check.verdict}: {check.seen}, allowed: {check.allowed}"
        for check in gate.checks
        if check.verdict != "pass"
    )


def verdict(good: bool) -> Verdict:
    """Return the verdict on what can be told for certain."""
    return "pass" if good else "fail"
