"""How long an experiment will still take at the traffic that it had so far, in words. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import Struct

from registry.outcomes.arm_comparison import Comparison
from registry.outcomes.users_needed import MOST_USERS, users_needed

UNITS: Final = ((172_800, 86_400, "days"), (7_200, 3_600, "hours"), (120, 60, "minutes"))
"""From how many seconds on a duration is worded in a unit of how many seconds."""


class Elapsed(NamedTuple):
    """Seconds since the state began, and how many of them the attribution window takes."""

    seconds: float
    window_seconds: float


class Outlook(Struct, frozen=True):
    """What it still takes to decide on conversion, if the difference stays as it is.

    Parameters
    ----------
    words
        All of it, as a sentence.
    users_per_second
        Users whose windows closed, on average since the first could; None before.
    users_missing
        How many more must close, for a decision four times out of five; None if that cannot be
        foreseen, or is decided.
    seconds
        How long they take to come, at that rate.
    """

    words: str
    users_per_second: float | None = None
    users_missing: int | None = None
    seconds: float | None = None


def outlook_of(
    conversion: Comparison, users: int, share: float, elapsed: Elapsed, *, is_broken: bool
) -> Outlook | None:
    """Return what is still needed; None if windows closed that could not have by `elapsed`.

    Parameters
    ----------
    conversion
        The comparison so far.
    users
        Closed users of both arms.
    share
        Of users that get the canary, 0..1 exclusive.
    elapsed
        How long this state has lasted.
    is_broken
        Whether the users are split otherwise than by the rule.
    """
    closing_seconds = elapsed.seconds - elapsed.window_seconds
    if closing_seconds <= 0 and users:
        return None  # the workers' window is a shorter one, or clocks differ
    if closing_seconds <= 0:
        return Outlook(f"The first windows close in {in_words(-closing_seconds)}.")
    if not users:
        return Outlook(
            f"Windows could close for {in_words(closing_seconds)} by now, and none has: nobody "
            f"known was answered, or nothing is joined. See the workers' logs."
        )
    rate = users / closing_seconds
    if is_broken:
        return Outlook("More users will not mend that.", rate)
    if conversion.standing in ("better", "worse"):
        return Outlook("Decided on conversion: more users are not needed.", rate)
    return _undecided(conversion, _users_missing(conversion, users, share), rate)


def _undecided(conversion: Comparison, missing: int | None, rate: float) -> Outlook:
    if missing is None:
        return Outlook(
            f"No end can be foreseen: at {rate:,.3g} users/s, so small a difference is not told "
            f"from none. `recstream experiment plan` says how many users an effect needs.",
            rate,
        )
    seconds = missing / rate
    by = f"{(conversion.difference or 0.0) * 100:+.2f} percentage points"
    if not missing:
        return Outlook(
            f"If the difference really is {by}, it is likely to be told any time now.", rate, 0, 0.0
        )
    return Outlook(
        f"If the difference stays at {by}, about {_rounded(missing):,} more users are "
        f"needed: {in_words(seconds)} at {rate:,.3g} users/s.",
        rate,
        missing,
        seconds,
    )


def in_words(seconds: float) -> str:
    """Word a duration in one unit.

    >>> in_words(42), in_words(5_400), in_words(200_000)
    ('42 seconds', '90 minutes', '2.3 days')
    """
    for least, unit, name in UNITS:
        if seconds >= least:
            return f"{seconds / unit:,.{0 if name == 'minutes' else 1}f} {name}"
    return f"{seconds:,.0f} seconds"


def _rounded(count: int) -> int:
    return int(float(f"{count:.2g}"))


def _users_missing(conversion: Comparison, users: int, share: float) -> int | None:
    """Return how many more users show the difference; None if that cannot be foreseen."""
    below, above = conversion.primary, conversion.canary
    if below is None or above is None or not (0 < below < 1 and 0 < above < 1) or below == above:
        return None
    needed = users_needed(below, above / below - 1, conversion.alpha, share=share).anytime
    return max(0, needed - users) if needed < MOST_USERS else None
