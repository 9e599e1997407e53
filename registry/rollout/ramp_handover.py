"""A ramp goes on in its next environment: the command that hands it over, and when it is refused.

Pure. Which lists of environments are refused is in `registry.ramp_plans.ramp_validation`.
"""

from __future__ import annotations

from msgspec.structs import replace

from registry.error_codes import CommandCode
from registry.errors import RefusedCommand
from registry.rollout.current_phase import phase_of, words_for
from registry.rollout.trail_wording import with_cause
from registry.wire.command_results import CommandResult
from registry.wire.commands import Promote, Rollout, Step
from registry.wire.origins import RAMP
from registry.wire.ramp_values import Finding, RampState
from registry.wire.rollout_state import RolloutState


def require_no_trial(state: RolloutState, command: Rollout) -> None:
    """A ramp of another environment, or of a training, must not end what somebody does here."""
    if command.origin in ("ramp", "training") and phase_of(state) != "fixed":
        raise RefusedCommand(
            f"rollout: {state.environment} has a trial of its own ({words_for(state)}); end it, "
            "and start the ramp here by hand",
            CommandCode.TRIAL_UNDER_WAY,
        )


def hand_over(state: RolloutState, ramp: RampState) -> Rollout:
    """Return the same ramp for the next environment."""
    following = ramp.environments[0]
    return Rollout(
        command_id=f"{ramp.ramp_id}@{following}",
        issued_by=RAMP,
        origin="ramp",
        environment=following,
        reason=with_cause(f"promoted and soaked in {state.environment}", ramp),
        canary_version=state.primary_version,
        bucketing=state.bucketing,
        salt=state.salt,
        ramp=ramp.asked or ramp.plan,
        ramp_id=ramp.ramp_id,
        environments=ramp.environments,
        cause=ramp.cause,
        fit=ramp.fit,
    )


def with_hand_over(
    end: Step | Promote, ramp: RampState, handed_over: CommandResult
) -> Step | Promote:
    """Return the end of this environment's ramp, with what the next one made of it."""
    following, error = handed_over.environment, handed_over.error
    words = f"{following} has begun" if error is None else f"{following} refused: {error.message}"
    finding = Finding("hand_over", "pass" if error is None else "fail", words)
    return replace(
        end,
        reason=with_cause(f"soaked; {words}", ramp),
        findings=(*end.findings, finding),
    )
