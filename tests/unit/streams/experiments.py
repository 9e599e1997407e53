"""Builders of experiments that the page and the metrics show."""

from __future__ import annotations

from typing import Any

from registry.outcomes.conclusion import Arm, Conclusion, conclude
from registry.outcomes.outlook import Elapsed
from registry.wire.outcome_records import ArmSums
from streams.outcomes.evidence_track import TrackedLook
from streams.outcomes.experiment_watch import WatchedExperiment


def some_users(users: int, converted: int) -> ArmSums:
    """Users with two exposures each, of whom some had one outcome."""
    x, y = float(converted), 2.0 * users
    return ArmSums(users, converted, x, y, x, 2 * x, 4.0 * users)


def a_conclusion(primary: int = 400, canary: int = 600, users: int = 1_000) -> Conclusion:
    """An A/B test of which so many users of each arm have converted."""
    return conclude(
        Arm("A", "v0.3", some_users(users, primary)),
        Arm("B", "v0.4", some_users(users, canary)),
        0.5,
        elapsed=Elapsed(11_000, 1_000),
    )


def an_experiment(found: Conclusion | None = None, **given: Any) -> WatchedExperiment:
    found = found or a_conclusion()
    looks = tuple(
        TrackedLook(at, past.conversion, past.outcomes_per_exposure)
        for at, past in ((1.76e9, a_conclusion(400, 430)), (1.76e9 + 60, found))
    )
    return WatchedExperiment(**{"is_on": True, "conclusion": found, "looks": looks} | given)
