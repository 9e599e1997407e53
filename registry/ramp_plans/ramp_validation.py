"""Which ramps are refused when they are asked for, whatever is measured later. Pure.

Here are the rules that look at more than one field. Bounds of a single field, like that of
``false_alarm`` (above 0, at most 0.5), are its type's: `registry.wire.ramp_values`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from msgspec import UNSET

from registry.error_codes import CommandCode
from registry.errors import RefusedCommand
from registry.ramp_plans.percentages import require_percentage
from registry.ramp_plans.ramp_durations import patience_seconds, stage_patience_seconds
from registry.ramp_plans.ramp_stages import stages_of
from registry.wire.commands import Rollout
from registry.wire.field_types import ID_CHARACTERS, Bucketing
from registry.wire.ramp_values import Ramp


def require_plan(ramp: Ramp, bucketing: Bucketing) -> None:
    """Refuse steps that do not rise, and a plan that could only be rolled back."""
    for before, step in pairwise((0.0, *ramp.steps)):
        if step <= before:
            raise RefusedCommand(
                f"ramp.steps: {step:g} comes after {before:g}; steps must increase",
                CommandCode.BAD_RAMP,
            )
        require_percentage("ramp.steps", step, bucketing)
    if ramp.steps[0] >= 100 and ramp.shadow is None:
        raise RefusedCommand(
            "ramp.steps: the first is 100; without a shadow before it, it must leave users with "
            "the primary version for comparison",
            CommandCode.BAD_RAMP,
        )
    if ramp.steps[0] >= 100 and watches_outcomes(ramp):
        raise RefusedCommand(
            "ramp.steps: the only one is 100; a goal and guardrails on outcomes need a step below "
            "100 %, with users of the primary version to compare with",
            CommandCode.BAD_RAMP,
        )
    for name, margin in _outcome_limits(ramp):
        if margin == 1 and ramp.guardrails.outcome_margin == "relative":
            raise RefusedCommand(
                f"ramp.guardrails.{name}: 1 of what the primary has, so that nothing could fail; "
                f"give a share below 1, or null to turn it off",
                CommandCode.BAD_RAMP,
            )
    if ramp.hold_seconds + patience_seconds(ramp) <= 0:
        raise RefusedCommand(
            "ramp: hold_seconds and patience_seconds are both 0, so a step would end before its "
            "first answer; set one of them",
            CommandCode.BAD_RAMP,
        )


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
    """Tell whether anything of `ramp` is decided by what users did."""
    return ramp.goal is not None or bool(_outcome_limits(ramp))


def _outcome_limits(ramp: Ramp) -> list[tuple[str, float]]:
    """Return the guardrails on outcomes that are on."""
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
    if not watches_outcomes(ramp):
        return
    if not terms.are_joined:
        raise RefusedCommand(
            "ramp: a goal and guardrails on outcomes need workers that join them; set "
            "RECSTREAM_OUTCOMES=on",
            CommandCode.NO_OUTCOMES,
        )
    steps = [
        stage
        for stage in stages_of(ramp)
        if stage.kind == "stepping" and stage.percentage < 100
        if stage.decides or _outcome_limits(ramp)
    ]
    if not steps:
        return  # only 100 %: `require_plan` refuses that
    times = [stage.hold_seconds + stage_patience_seconds(ramp, stage) for stage in steps]
    window = terms.window_seconds
    if min(times) <= window:
        raise RefusedCommand(
            f"ramp: a step takes at most {min(times):g} s with its patience, and no attribution "
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


def require_environments(command: Rollout) -> tuple[str, ...]:
    """Return the environments of the ramp that `command` starts, its own first.

    Raises
    ------
    RefusedCommand
        If its own is not the first, one comes twice, or a hand-over's id would be too long.
    """
    environments = (command.environment,) if command.environments is UNSET else command.environments
    if not environments or environments[0] != command.environment:
        raise RefusedCommand(
            f"environments: must begin with {command.environment}, which this command is for; "
            f"{environments[0] if environments else 'none'} given",
            CommandCode.BAD_RAMP,
        )
    twice = [name for place, name in enumerate(environments) if name in environments[:place]]
    if twice:
        raise RefusedCommand(
            f"environments: each may occur once; {twice[0]} occurs twice", CommandCode.BAD_RAMP
        )
    longest = max(map(len, environments)) + len(ramp_id_of(command)) + 1
    if len(environments) > 1 and longest > ID_CHARACTERS:
        raise RefusedCommand(
            f"command_id: {len(ramp_id_of(command))} characters; with @ and the name of an "
            f"environment they must be at most {ID_CHARACTERS}",
            CommandCode.BAD_RAMP,
        )
    return environments


def ramp_id_of(command: Rollout) -> str:
    """Return the id of the ramp that `command` starts, or hands over."""
    return command.command_id if command.ramp_id is UNSET else command.ramp_id
