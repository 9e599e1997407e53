"""Which ramps are refused when they are asked for, whatever is measured later. Pure.

Here are the rules that look at more than one field. Bounds of a single field, like that of
``false_alarm`` (above 0, at most 0.5), are its type's: `registry.wire.ramp_values`. What a fleet
must have for a ramp that outcomes decide: `registry.ramp_plans.outcome_requirements`.
"""

from __future__ import annotations

from itertools import pairwise

from msgspec import UNSET

from registry.error_codes import CommandCode
from registry.errors import RefusedCommand
from registry.ramp_plans.outcome_requirements import outcome_limits, watches_outcomes
from registry.ramp_plans.percentages import require_percentage
from registry.ramp_plans.ramp_durations import patience_seconds
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
    for name, margin in outcome_limits(ramp):
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
