"""Which of two interleaved versions users prefer: wins, losses and ties, and what they prove.

Pure. A closed user whose outcomes came more from the canary version's items is a win for it, one
with more from the primary's a loss, any other a tie. If users prefer neither, each user that is no
tie is a fair coin: so the evidence is the e-value of a mean of one half
(`registry.guardrails.evidence`), which may be checked at any time. Must not know users.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from msgspec import Struct

from registry.guardrails.evidence import Sample, log_e_value
from registry.guardrails.finding_text import e_value_in_words
from registry.wire.field_types import Variant
from registry.wire.outcome_records import ArmSums

PreferenceVerdict: TypeAlias = Literal["better", "worse", "undecided", "no data"]

GRID: Final = 10_000
"""Bounds of a share are found to a hundredth of a percentage point, outwards."""

LEAD_DIGITS: Final = 9
"""Of a user's lead: what is left of it by rounding errors, 0.1 + 0.2 - 0.3, is none."""


def preferred(lead: float) -> Variant | None:
    """Return the variant that a closed user prefers; None: neither.

    `lead` is by how much more of the user's outcomes came from the canary version's items than
    from the primary's.

    >>> preferred(2.0), preferred(-0.5), preferred(0.1 + 0.2 - 0.3)
    ('canary', 'primary', None)
    """
    exact = round(lead, LEAD_DIGITS)
    if not exact:
        return None
    return "canary" if exact > 0 else "primary"


class PreferenceTally(NamedTuple):
    """Closed users, by the version that they prefer: the canary, the primary, neither."""

    wins: int
    losses: int
    ties: int


def tally_of(sums: Mapping[Variant | None, ArmSums]) -> PreferenceTally:
    """Return the tally of closed users, whose sums are by the version that they prefer."""
    wins, losses, ties = (
        sums.get(variant, ArmSums()).users for variant in ("canary", "primary", None)
    )
    return PreferenceTally(wins, losses, ties)


class Preference(Struct, frozen=True):
    """Which version users prefer, by one list that both have made.

    Parameters
    ----------
    primary_version, canary_version
        The versions.
    wins, losses, ties
        Closed users who prefer the canary version, the primary, neither.
    log10_e
        Decimal logarithm of the evidence that users do prefer one; `log10_e_needed` is enough.
    share, lower, upper
        Of wins among users who are not ties, and its confidence sequence; None without any.
    alpha
        Most probability that `verdict` is ever wrong.
    verdict
        Of the canary version.
    words
        The same, as sentences.
    """

    primary_version: str
    canary_version: str
    wins: int
    losses: int
    ties: int
    log10_e: float
    log10_e_needed: float
    share: float | None
    lower: float | None
    upper: float | None
    alpha: float
    verdict: PreferenceVerdict
    words: str


def prefer(
    primary_version: str, canary_version: str, tally: PreferenceTally, alpha: float = 0.05
) -> Preference:
    """Return which version users prefer.

    Parameters
    ----------
    primary_version, canary_version
        The versions.
    tally
        All closed users.
    alpha
        Most probability of ever claiming a preference that is not there, 0..1 exclusive.

    Examples
    --------
    >>> prefer("v0.1", "v0.2", PreferenceTally(30, 8, 22)).verdict
    'better'
    >>> prefer("v0.1", "v0.2", PreferenceTally(0, 0, 22)).verdict
    'undecided'
    """
    decided = tally.wins + tally.losses
    sample = Sample(tally.wins, decided) if decided else None
    log_e = log_e_value(sample, 0.5) if sample else 0.0
    needed = -math.log(alpha)
    verdict: PreferenceVerdict = "undecided" if sum(tally) else "no data"
    if log_e >= needed:
        verdict = "better" if tally.wins > tally.losses else "worse"
    lower, upper = _bounds(sample, needed) if sample else (None, None)
    return Preference(
        primary_version,
        canary_version,
        *tally,
        log_e / math.log(10),
        -math.log10(alpha),
        sample.mean if sample else None,
        lower,
        upper,
        alpha,
        verdict,
        _words(primary_version, canary_version, tally, verdict, log_e, alpha),
    )


def _bounds(sample: Sample, needed: float) -> tuple[float, float]:
    """Return the least and the greatest mean that is not refuted; the sample's own is not."""

    def is_refuted(step: int) -> bool:
        return log_e_value(sample, step / GRID) >= needed

    mean = round(sample.mean * GRID)
    least = bisect_left(range(mean), True, key=lambda step: not is_refuted(step))
    beyond = bisect_left(range(GRID + 1), True, lo=mean + 1, key=is_refuted)
    return max(0, least - 1) / GRID, min(GRID, beyond) / GRID


def _words(
    primary: str,
    canary: str,
    tally: PreferenceTally,
    verdict: PreferenceVerdict,
    log_e: float,
    alpha: float,
) -> str:
    if verdict == "no data":
        return "No conclusion yet: no user has a closed window."
    counted = f"{tally.wins:,} against {tally.losses:,} users, {tally.ties:,} ties"
    evidence = f"e-value {e_value_in_words(log_e)}, needs {e_value_in_words(-math.log(alpha))}"
    if verdict == "undecided":
        return (
            f"No conclusion yet: users may like canary ({canary}) and primary ({primary}) equally: "
            f"{counted} ({evidence})."
        )
    return (
        f"Users prefer {_sides(primary, canary, verdict)}: {counted} ({evidence}), at "
        f"{(1 - alpha) * 100:g} % confidence, however often you look."
    )


def _sides(primary: str, canary: str, verdict: PreferenceVerdict) -> str:
    sides = [f"canary ({canary})", f"primary ({primary})"]
    return " to ".join(sides if verdict == "better" else reversed(sides))
