"""The gate: may this model be published? A pure function of what a run has found.

Knows counts, shapes, metrics and limits; must not know how they came about. Each check quotes what
was seen and what is allowed.

A comparison is decided by its 95 % interval: `pass` if all of it is on the good side, `fail` if all
of it is on the bad one, and `inconclusive` between. So is "no data": it is never good, and only
what was measured and remained open is left to the policy (``RETRAIN_INCONCLUSIVE``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from registry.wire.gate_results import Check, Gate, Verdict
from training.data.matrix import Csr, Factors, Mask
from training.judging.bootstrap import FEWEST_USERS
from training.judging.holdout import Rows
from training.judging.quality_estimates import Estimate, Quality
from training.judging.ranking_metrics import changed

Policy: TypeAlias = Literal["publish", "refuse"]

COMPARISONS: Final = ("better_than_popularity", "not_worse_than_incumbent")
"""Checks that a sample of users can leave open."""

DEAD_VARIATION: Final = 1e-6
"""A column whose standard deviation is below this share of the matrix's largest number tells no
two rows apart: float32 holds seven digits."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Size of the training set; ``interactions`` are the cells that teach."""

    users: int
    items: int
    interactions: int


@dataclass(frozen=True, slots=True)
class Limits:
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


@dataclass(frozen=True, slots=True)
class Change:
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


def check_counts(counts: Counts, limits: Limits) -> tuple[Check, ...]:
    """Check that there is enough to learn from."""
    return (
        _at_least("users", counts.users, limits.min_users),
        _at_least("items", counts.items, limits.min_items),
        _at_least("interactions", counts.interactions, limits.min_interactions),
    )


def check_factors(factors: Factors | None, counts: Counts, columns: int) -> tuple[Check, ...]:
    """Check the shapes, which finds swapped matrices, and that all numbers are finite.

    Parameters
    ----------
    factors
        The model; None if it was not fitted.
    counts
        Rows that the two matrices must have.
    columns
        Columns that both must have: the parameter ``factors``.
    """
    wanted = f"users {counts.users} × {columns}, items {counts.items} × {columns}"
    if factors is None:
        return (
            Check("factor_shapes", "inconclusive", "not fitted", wanted),
            Check("finite_factors", "inconclusive", "not fitted", "all finite"),
        )
    shapes = f"users {_shape(factors.users)}, items {_shape(factors.items)}"
    broken = sum(int((~np.isfinite(one)).sum()) for one in (factors.users, factors.items))
    return (
        Check("factor_shapes", _verdict(shapes == wanted), shapes, wanted),
        Check("finite_factors", _verdict(broken == 0), f"{broken} not finite", "all finite"),
    )


def check_life(factors: Factors | None, weights: Csr) -> Check:
    """Check that every column tells rows apart, and that what teaches has left a trace.

    Parameters
    ----------
    factors
        The model; None if it was not fitted, or has the wrong shapes.
    weights
        Users × items, as fitted. A row without any weight is rightly all zeros.
    """
    allowed = "0 columns that are the same for all, 0 rows of zeros"
    if factors is None or not all(np.isfinite(one).all() for one in factors):
        return Check("dead_factors", "inconclusive", "no sound factors", allowed)
    columns = int(sum(_dead_columns(one).sum() for one in factors))
    entries = np.diff(weights.indptr), np.bincount(weights.indices, minlength=weights.shape[1])
    rows = [
        int((~one.any(axis=1) & (some > 0)).sum())
        for one, some in zip(factors, entries, strict=True)
    ]
    seen = f"{columns} columns, rows of {rows[0]} users and {rows[1]} items with interactions"
    return Check("dead_factors", _verdict(columns + sum(rows) == 0), seen, allowed)


def check_quality(
    quality: Quality | None, incumbent: str | None, limits: Limits, note: str = ""
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
    seen, popular = f"NDCG@10 {quality.candidate.ndcg:.4f}", quality.popularity.ndcg
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
            COMPARISONS[1], "inconclusive", f"{incumbent} not judged", "its NDCG@10 is needed"
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
    change: Change | None, incumbent: str | None, limits: Limits, complaint: str = ""
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


def change_of(ours: Rows, theirs: Rows, items: int, missing: int) -> Change:
    """Return the change between two sets of lists of the same users.

    Parameters
    ----------
    ours, theirs
        (users, places) item rows of the new version and of the incumbent.
    items, missing
        Items of the incumbent, and how many of them the new version has not.
    """
    return Change(len(ours), int(changed(ours, theirs).sum()), items, missing)


def passed(checks: Collection[Check]) -> bool:
    """Tell whether there are checks and all of them say `pass`."""
    return bool(checks) and all(check.verdict == "pass" for check in checks)


def decide(checks: tuple[Check, ...], accepted: Collection[str] = ()) -> Gate:
    """Combine the checks; those `accepted` may be inconclusive."""
    closing = [one for one in checks if one.verdict != "inconclusive" or one.name not in accepted]
    return Gate(passed=passed(closing), checks=checks)


def accepted_open(quality: Quality | None, limits: Limits) -> tuple[str, ...]:
    """Return the checks that may be inconclusive: by policy, and of what was measured only.

    >>> accepted_open(None, Limits(1, 1, 1, 0.1, inconclusive="publish"))
    ()
    """
    if quality is None or limits.inconclusive == "refuse":
        return ()
    return COMPARISONS


def refusal(gate: Gate) -> str:
    """Return why a gate did not pass, one clause per check that did not.

    >>> refusal(Gate(False, (Check("users", "fail", "1", "at least 20"),)))
    'users: fail: 1, allowed is at least 20'
    """
    return "; ".join(
        f"{check.name}: {check.verdict}: {check.seen}, allowed is {check.allowed}"
        for check in gate.checks
        if check.verdict != "pass"
    )


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
        return f"{incumbent} as served, on what is new to it"
    return f"{incumbent}'s parameters, fitted anew" + (f", for {note}" if note else "")


def _dead_columns(matrix: NDArray[np.float32]) -> Mask:
    largest = float(np.abs(matrix).max(initial=0))
    dead: Mask = matrix.std(axis=0, dtype=np.float64) <= DEAD_VARIATION * largest
    return dead


def _at_least(name: str, seen: int, least: int) -> Check:
    verdict: Verdict = "inconclusive" if seen == 0 else _verdict(seen >= least)
    return Check(name, verdict, str(seen), f"at least {least}")


def _at_most(name: str, seen: tuple[int, int] | None, most: float, what: str) -> Check:
    allowed = "anything: no limit" if most >= 1 else f"at most {most:.0%} {what}"
    if seen is None or seen[1] == 0:
        return Check(name, "pass" if most >= 1 else "inconclusive", "not compared", allowed)
    some, whole = seen
    told = f"{some} of {whole} ({some / whole:.1%})"
    return Check(name, _verdict(most >= 1 or some <= most * whole), told, allowed)


def _shape(matrix: NDArray[np.float32]) -> str:
    return " × ".join(str(length) for length in matrix.shape)


def _verdict(good: bool) -> Verdict:
    return "pass" if good else "fail"
