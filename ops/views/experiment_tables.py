"""An experiment's arms and conclusion on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from ops.views.terminal import Text, grid
from registry.interleaving.preference import Preference
from registry.outcomes.arm_comparison import Comparison
from registry.outcomes.conclusion import Arm, Conclusion
from registry.outcomes.outcome_positions import PositionOutcomes

STYLES = {"better": "green", "worse": "red", "broken": "red"}


def conclusion_lines(found: Conclusion) -> RenderableType:
    """Return the arms, the differences with their intervals, and what may be concluded."""
    arms = grid(
        ("arm", "version", "users #", "converted #", "conversion #", "outcomes #", "exposures #"),
        [_arm_row(arm) for arm in (found.primary, found.canary)],
    )
    names = found.primary.variant, found.canary.variant
    differences = grid(
        ("metric", f"{names[0]} #", f"{names[1]} #", "difference #", "from #", "to #"),
        [_metric_row(found.conversion), _metric_row(found.outcomes_per_exposure)],
    )
    return Group(
        arms,
        differences,
        Text(f"split: {found.sample_ratio.message}"),
        Text(found.words, STYLES.get(found.verdict, "")),
        *([] if found.outlook is None else [Text(found.outlook.words)]),
    )


def preference_lines(found: Preference) -> RenderableType:
    """Return how many users prefer which of two interleaved versions, and what it proves."""
    share = [
        "?" if figure is None else f"{figure:.1%}"
        for figure in (found.share, found.lower, found.upper)
    ]
    users = grid(
        ("prefer", "version", "users #"),
        [
            ("canary", found.canary_version, f"{found.wins:,}"),
            ("primary", found.primary_version, f"{found.losses:,}"),
            ("neither", "", f"{found.ties:,}"),
        ],
    )
    return Group(
        users,
        Text(
            f"canary's share of those who prefer one: {share[0]}, between {share[1]} and {share[2]}"
        ),
        Text(found.words, STYLES.get(found.verdict, "")),
    )


def position_table(found: Sequence[PositionOutcomes]) -> Table:
    """Return the outcomes of each arm by position, first positions first."""
    arms = list(dict.fromkeys(place.variant for place in found))
    outcomes = {(place.variant, place.position): place.outcomes for place in found}
    return grid(
        ("position #", *(f"{arm} #" for arm in arms)),
        [
            (f"{position}", *(f"{outcomes.get((arm, position), 0):,}" for arm in arms))
            for position in sorted({place.position for place in found})
        ],
    )


def _arm_row(arm: Arm) -> tuple[str, ...]:
    sums = arm.sums
    share = f"{sums.converted / sums.users:.2%}" if sums.users else "?"
    return (
        arm.variant,
        arm.version,
        f"{sums.users:,}",
        f"{sums.converted:,}",
        share,
        f"{sums.x:,g}",
        f"{sums.y:,g}",
    )


def _metric_row(shown: Comparison) -> tuple[str, ...]:
    figures = shown.primary, shown.canary, shown.difference, shown.lower, shown.upper
    return (
        shown.metric.replace("_", " "),
        *("?" if figure is None else f"{figure:.4f}" for figure in figures),
    )
