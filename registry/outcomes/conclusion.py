"""What may be concluded from an experiment now, in words. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from registry.guardrails.sample_ratio import sample_ratio
from registry.outcomes.arm_comparison import (
    LEAST_USERS,
    Comparison,
    compare_conversion,
    compare_ratio,
)
from registry.outcomes.outlook import Elapsed, Outlook, outlook_of
from registry.wire.outcome_records import ArmSums
from registry.wire.ramp_values import Finding


class Arm(Struct, frozen=True):
    """One arm: its variant, its version, and the sums over its closed users."""

    variant: str
    version: str
    sums: ArmSums


class Conclusion(Struct, frozen=True):
    """What two arms say by now.

    Parameters
    ----------
    primary, canary
        The arms; A and B of an A/B test.
    conversion, outcomes_per_exposure
        The comparisons.
    sample_ratio
        Whether users are split as the rule says.
    verdict
        By `conversion`; ``broken`` if the split is not the rule's.
    words
        The same, as sentences.
    outlook
        How long it will still take; None if it is not known how long users have been counted, or
        for how long their windows are open.
    """

    primary: Arm
    canary: Arm
    conversion: Comparison
    outcomes_per_exposure: Comparison
    sample_ratio: Finding
    verdict: Literal["better", "worse", "undecided", "no data", "broken"]
    words: str
    outlook: Outlook | None = None


def conclude(
    primary: Arm,
    canary: Arm,
    expected_share: float,
    alpha: float = 0.05,
    elapsed: Elapsed | None = None,
) -> Conclusion:
    """Compare two arms.

    Parameters
    ----------
    primary, canary
        The arms.
    expected_share
        Of users that the rule gives to `canary`, 0..1.
    alpha
        Most probability that an interval is ever wrong, 0..1 exclusive.
    elapsed
        How long users have been exposed, if that is known.
    """
    conversion = compare_conversion(primary.sums, canary.sums, alpha)
    ratio = compare_ratio(primary.sums, canary.sums, alpha)
    split = sample_ratio(
        canary.sums.users,
        primary.sums.users,
        expected_share,
        alpha / 2,
        names=(canary.variant, primary.variant),
    )
    broken, users = split.verdict in ("fail", "error"), primary.sums.users + canary.sums.users
    if broken:
        words = (
            f"Nothing may be concluded: the users are not split by the rule ({split.message}), so "
            f"the arms cannot be compared. Look for requests or outcomes of one arm that get lost."
        )
    else:
        words = " ".join(
            (_conversion_words(conversion, primary, canary), _ratio_words(ratio, canary))
        )
    return Conclusion(
        primary,
        canary,
        conversion,
        ratio,
        split,
        "broken" if broken else conversion.standing,
        words,
        None
        if elapsed is None
        else outlook_of(conversion, users, expected_share, elapsed, is_broken=broken),
    )


def _conversion_words(shown: Comparison, primary: Arm, canary: Arm) -> str:
    if shown.standing == "no data":
        empty = " and ".join(_named(arm) for arm in (primary, canary) if not arm.sums.users)
        return f"No conclusion yet: no user of {empty} has a closed window."
    figures = (
        f"conversion {_percent(shown.canary)} of {canary.sums.users:,} users against "
        f"{_percent(shown.primary)} of {primary.sums.users:,}, a difference between "
        f"{_points(shown.lower)} and {_points(shown.upper)} percentage points"
    )
    sure = f"at {(1 - shown.alpha) * 100:g} % confidence, however often you look"
    if shown.standing == "undecided":
        both = f"{_named(canary)} and {_named(primary)}"
        return f"No conclusion yet: {both} may be alike: {figures}, {sure}."
    return f"{_named(canary)} is {shown.standing} than {_named(primary)}: {figures}, {sure}."


def _ratio_words(shown: Comparison, canary: Arm) -> str:
    if shown.standing == "no data":
        return f"Outcomes per exposure are compared from {LEAST_USERS} closed users an arm on."
    figures = (
        f"{shown.canary:.4f} against {shown.primary:.4f}, a difference between "
        f"{shown.lower:+.4f} and {shown.upper:+.4f}"
    )
    claim = {
        "better": f"more with {canary.variant}",
        "worse": f"fewer with {canary.variant}",
    }.get(shown.standing, "no clear difference yet")
    return f"Outcomes per exposure: {claim}, {figures}."


def _named(arm: Arm) -> str:
    return f"{arm.variant} ({arm.version})"


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{share * 100:.2f} %"


def _points(margin: float | None) -> str:
    return "?" if margin is None else f"{margin * 100:+.2f}"
