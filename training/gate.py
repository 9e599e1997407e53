"""The gate: may this model be published? A pure function of what a run has found.

Knows counts, shapes, metrics and limits; must not know how they came about. Each check quotes what
was seen and what is allowed. "No data" is `inconclusive`, and only a gate whose checks all say
`pass` has passed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from registry.manifest import Check, Gate, Verdict
from training.evaluation import Metrics
from training.matrix import Factors


@dataclass(frozen=True, slots=True)
class Counts:
    """Size of the training set; ``interactions`` are the cells that teach."""

    users: int
    items: int
    interactions: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings allow.

    ``tolerance`` is the share of the incumbent's NDCG@10 that a new version may be worse by.
    """

    min_users: int
    min_items: int
    min_interactions: int
    tolerance: float


@dataclass(frozen=True, slots=True)
class Quality:
    """The evaluation; None stands for "no user could be judged"."""

    candidate: Metrics | None
    popularity: Metrics | None
    incumbent: Metrics | None


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


def check_quality(
    quality: Quality | None, incumbent: str | None, limits: Limits
) -> tuple[Check, ...]:
    """Check that the model beats popularity, and is not much worse than the incumbent.

    Parameters
    ----------
    quality
        The evaluation; None if there was nothing sound to evaluate.
    incumbent
        The version that is served now; None if there is none, which passes its check.
    limits
        Its ``tolerance`` is read.
    """
    quality = quality or Quality(None, None, None)
    names = ("better_than_popularity", "not_worse_than_incumbent")
    if quality.candidate is None or quality.popularity is None:
        return tuple(
            Check(name, "inconclusive", "no user could be judged", "an NDCG@10") for name in names
        )
    seen, popular = quality.candidate.ndcg, quality.popularity.ndcg
    beats = Check(
        names[0], _verdict(seen > popular), f"NDCG@10 {seen:.4f}", f"more than {popular:.4f}"
    )
    if incumbent is None:
        return beats, Check(names[1], "pass", f"NDCG@10 {seen:.4f}", "anything: no incumbent")
    if quality.incumbent is None:
        return beats, Check(
            names[1], "inconclusive", f"{incumbent} not judged", "its NDCG@10 is needed"
        )
    floor = quality.incumbent.ndcg * (1 - limits.tolerance)
    allowed = (
        f"at least {floor:.4f} ({incumbent}: {quality.incumbent.ndcg:.4f}, "
        f"tolerance {limits.tolerance:.0%})"
    )
    return beats, Check(names[1], _verdict(seen >= floor), f"NDCG@10 {seen:.4f}", allowed)


def passed(checks: tuple[Check, ...]) -> bool:
    """Tell whether there are checks and all of them say `pass`."""
    return bool(checks) and all(check.verdict == "pass" for check in checks)


def decide(checks: tuple[Check, ...]) -> Gate:
    """Combine the checks."""
    return Gate(passed=passed(checks), checks=checks)


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


def _at_least(name: str, seen: int, least: int) -> Check:
    verdict: Verdict = "inconclusive" if seen == 0 else _verdict(seen >= least)
    return Check(name, verdict, str(seen), f"at least {least}")


def _shape(matrix: NDArray[np.float32]) -> str:
    return " × ".join(str(length) for length in matrix.shape)


def _verdict(good: bool) -> Verdict:
    return "pass" if good else "fail"
