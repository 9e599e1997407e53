"""Whether the incumbent is judged by what it serves, or by its recipe. Pure."""

from __future__ import annotations

from typing import Final

from training.judging.holdout import Split
from training.judging.quality_estimates import Quality

FEWEST_NEWER: Final = 100
"""Users without whom the incumbent is not judged by what it serves: of fewer, a handful decides."""

FINEST: Final = 0.05
"""Nor is it if the interval leaves the question open, and reaches further than the tolerance to
both sides; a tolerance below this share of its NDCG@10 does not ask for more precision."""


def may_be_judged_as_served(newer: Split) -> bool:
    """Tell whether there are enough users whose held-out interactions it has not learned."""
    return len(newer.users) >= FEWEST_NEWER


def comparison_tells(quality: Quality, tolerance: float) -> bool:
    """Tell whether the comparison decides, or would show a difference as large as the tolerance."""
    if quality.over_floor is None or quality.over_floor.bounds is None or not quality.incumbent:
        return False
    low, high = quality.over_floor.bounds
    fine = (high - low) / 2 <= max(tolerance, FINEST) * quality.incumbent.ndcg
    return fine or low > 0 or high < 0
