"""What a fleet must have for a ramp that outcomes decide: outcomes joined, and kept long enough.

A ramp is refused whose windows cannot close within a step, or whose topics forget before it has
ended. Pure; what the fleet has comes from `registry.kafka.outcome_terms`.
"""

from __future__ import annotations

from typing import NamedTuple

from registry.error_codes import CommandCode
from registry.errors import RefusedCommand
from registry.ramp_plans.ramp_durations import stage_patience_seconds
from registry.ramp_plans.ramp_stages import stages_of
from registry.wire.ramp_values import Ramp


class OutcomeTerms(NamedTuple):
    """What a fleet's settings and topics make of outcomes.

    Parameters
    ----------
    are_joined
        Whether workers join them (``RECSTREAM_OUTCOMES``).
    window_seconds
        The attribution window.
    outcomes_kept_seconds, answers_kept_seconds
        How long the outcome topic and the response topic keep a record; infinity: for ever. A
        worker that takes over reads outcomes from the step's beginning, and answers back to the
        users whose windows are still open.
    """

    are_joined: bool
    window_seconds: float
    outcomes_kept_seconds: float
    answers_kept_seconds: float


def watches_outcomes(ramp: Ramp) -> bool:
    """Tell whether a step of `ramp` is decided by what users did."""
    return ramp.goal is not None or bool(outcome_limits(ramp))


def needs_outcomes(ramp: Ramp) -> bool:
    """Tell whether any stage of `ramp` is decided by what users did."""
    return watches_outcomes(ramp) or ramp.interleave is not None


def outcome_limits(ramp: Ramp) -> list[tuple[str, float]]:
    """Return the guardrails on outcomes that are on, with their limits."""
    limits = {
        "conversion": ramp.guardrails.conversion,
        "outcomes_per_exposure": ramp.guardrails.outcomes_per_exposure,
    }
    return [(name, limit) for name, limit in limits.items() if limit is not None]


def require_outcomes(ramp: Ramp, terms: OutcomeTerms) -> None:
    """Refuse a ramp that is decided by outcomes where they cannot be known.

    Raises
    ------
    RefusedCommand
        With code ``no_outcomes``: nothing is joined, no window could close within a step that
        outcomes decide, or the topics forget before the step has ended.
    """
    if not needs_outcomes(ramp):
        return
    if not terms.are_joined:
        raise RefusedCommand(
            "ramp: a goal, guardrails on outcomes and an interleaving need workers that join "
            "outcomes; set RECSTREAM_OUTCOMES=on",
            CommandCode.NO_OUTCOMES,
        )
    steps = [
        stage
        for stage in stages_of(ramp)
        if stage.kind == "interleaving"
        or (
            (stage.kind == "stepping" and stage.percentage < 100)
            and (stage.decides or outcome_limits(ramp))
        )
    ]
    if not steps:
        return  # only 100 %: `require_plan` refuses that
    times = [stage.hold_seconds + stage_patience_seconds(ramp, stage) for stage in steps]
    window = terms.window_seconds
    if min(times) <= window:
        raise RefusedCommand(
            f"ramp: a stage takes at most {min(times):g} s with its patience, and no attribution "
            f"window closes before {window:g} s (RECSTREAM_ATTRIBUTION_SECONDS); give a longer "
            f"hold_seconds or patience_seconds; for the step of the goal, goal.patience_seconds",
            CommandCode.NO_OUTCOMES,
        )
    for name, kept, needed in (
        ("outcome", terms.outcomes_kept_seconds, max(times) + window),
        ("response", terms.answers_kept_seconds, 2 * window),
    ):
        if kept < needed:
            raise RefusedCommand(
                f"ramp: the {name} topic keeps records for {kept:g} s, and this ramp needs "
                f"{needed:g} s: raise its retention.ms, or shorten hold, patience or window",
                CommandCode.NO_OUTCOMES,
            )
