"""The gate's checks that compare a model with popularity and with the served version. Pure.

With the neighbour baselines: `training.judging.plausibility`.

A comparison is decided by its 95 % interval: `pass` if all of it is on the good side, `fail` if all
of it is on the bad one, and `inconclusive` between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from registry.wire.training_records.gate_results import Check, Verdict
from training.judging.bootstrap import FEWEST_USERS
from training.judging.gate import COMPARISONS, GateLimits, verdict
from training.judging.holdout import Rows
from training.judging.quality_estimates import Estimate, Quality
from training.judging.ranking_metrics import changed

BY_CHANCE: Final = " by a random split, because the times give no order"


@dataclass(frozen=True, slots=True)
class ServedChange:
    """What a version would change for those who are served by the incumbent.

    Parameters
    ----------
    users
        Of how many users, known to both, the lists were compared.
    changed_users
        Of how many less than half of the ten best items are among the incumbent's.
    items
        Items of the incumbent.
    missing_items
        How many of them the new version has not.
    """

    users: int
    changed_users: int
    items: int
    missing_items: int


def check_quality(
    quality: Quality | None, incumbent: str | None, limits: GateLimits, note: str = ""
) -> tuple[Check, ...]:
    """Check that the model beats popularity, and is not much worse than the incumbent.

    Parameters
    ----------
    quality
        The evaluation; None if no user could be judged.
    incumbent
        The version that is served now; None if there is none, which passes its check.
    limits
        Its ``tolerance`` is read.
    note
        Why the incumbent was not judged by what it serves.
    """
    if quality is None:
        return tuple(
            Check(name, "inconclusive", "no user could be judged", "an NDCG@10")
            for name in COMPARISONS
        )
    by = BY_CHANCE if quality.order == "random" else ""
    seen, popular = f"NDCG@10 {quality.candidate.ndcg:.4f}{by}", quality.popularity.ndcg
    beats = Check(
        COMPARISONS[0],
        _decided(quality.over_popularity, strictly=True),
        f"{seen}: {_difference(quality.over_popularity)} over that",
        f"more than popularity's {popular:.4f}",
    )
    if incumbent is None:
        return beats, Check(COMPARISONS[1], "pass", seen, "anything: no incumbent")
    if quality.incumbent is None or quality.over_floor is None:
        return beats, Check(
            COMPARISONS[1], "inconclusive", f"{incumbent} not judged", "it needs an NDCG@10"
        )
    floor = quality.incumbent.ndcg * (1 - limits.tolerance)
    return beats, Check(
        COMPARISONS[1],
        _decided(quality.over_floor, strictly=False),
        f"{seen}: {_difference(quality.over_floor)} over that",
        f"at least {floor:.4f} ({_stood(incumbent, quality, note)}: "
        f"{quality.incumbent.ndcg:.4f}, tolerance {limits.tolerance:.0%})",
    )


def check_change(
    change: ServedChange | None, incumbent: str | None, limits: GateLimits, complaint: str = ""
) -> tuple[Check, ...]:
    """Check how much would change for the users, and that the items are still there.

    Parameters
    ----------
    change
        What would change; None if that could not be seen.
    incumbent
        The version that is served now; None if there is none, which passes.
    limits
        ``max_changed`` and ``max_missing_items`` are read; a limit of 1 allows all.
    complaint
        Why the incumbent cannot be read; it passes then, or a damaged version would keep its cure
        from being made.
    """
    names = ("changed_users", "missing_items")
    if incumbent is None or complaint:
        why = f"anything: {complaint or 'no incumbent'}"
        return tuple(Check(name, "pass", "not compared", why) for name in names)
    given = (change.changed_users, change.users) if change else None
    gone = (change.missing_items, change.items) if change else None
    return (
        _at_most(names[0], given, limits.max_changed, "with a mostly different top 10"),
        _at_most(names[1], gone, limits.max_missing_items, f"of those of {incumbent}"),
    )


def change_of(ours: Rows, theirs: Rows, items: int, missing: int) -> ServedChange:
    """Return the change between two sets of lists of the same users.

    Parameters
    ----------
    ours, theirs
        (users, places) item rows of the new version and of the incumbent.
    items, missing
        Items of the incumbent, and how many of them the new version has not.
    """
    return ServedChange(len(ours), int(changed(ours, theirs).sum()), items, missing)


def _decided(estimate: Estimate, *, strictly: bool) -> Verdict:
    """Tell on which side of zero the interval is; zero itself is good unless `strictly`."""
    if estimate.bounds is None or not np.isfinite(estimate.bounds).all():
        return "inconclusive"
    low, high = estimate.bounds
    if low > 0 or (low == 0 and not strictly):
        return "pass"
    return "fail" if high < 0 or (high == 0 and strictly) else "inconclusive"


def _difference(estimate: Estimate) -> str:
    if estimate.bounds is None:
        return f"{estimate.value:+.4f}, of fewer than {FEWEST_USERS} users"
    return f"{estimate:+.4f}"


def _stood(incumbent: str, quality: Quality, note: str) -> str:
    """Say what stood for the incumbent."""
    if quality.basis == "published":
        return f"{incumbent} as served, on interactions that are new to it"
    return f"{incumbent}'s parameters, fitted again" + (f", for {note}" if note else "")


def _at_most(name: str, seen: tuple[int, int] | None, most: float, what: str) -> Check:
    allowed = "anything: no limit" if most >= 1 else f"at most {most:.0%} {what}"
    if seen is None or seen[1] == 0:
        return Check(name, "pass" if most >= 1 else "inconclusive", "not compared", allowed)
    some, whole = seen
    seen_words = f"{some} of {whole} ({some / whole:.1%})"
    return Check(name, verdict(most >= 1 or some <= most * whole), seen_words, allowed)
