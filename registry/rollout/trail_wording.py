"""Changes of a rollout state in words, for the audit trail and the status page. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from registry.ramp_plans.ramp_stages import stage_of, stages_of
from registry.rollout.current_phase import words_for
from registry.wire.command_results import CommandResult
from registry.wire.ramp_values import Ramp, RampCause, RampState
from registry.wire.rollout_state import RolloutState

STATE_FIELDS: Final = (
    "strategy",
    "primary_version",
    "canary_version",
    "canary_percentage",
    "shadow_sample_percentage",
    "bucketing",
    "salt",
)
"""What a command can change, and the ramp; the rest of a state follows from it."""

NO_STATE: Final = RolloutState("", -1, "fixed", "")
"""What the first state is compared with: the defaults, so that only what was chosen shows."""


REASON_CHARACTERS: Final = 1000
"""What a command's reason may hold, the rest is cut; all is in its ``findings`` as well."""

CAUSE_CHARACTERS: Final = 400
"""Of them, for the training run that the ramp comes from; its state has all of it."""


class Change(Struct, frozen=True):
    """One field of the rollout state that a command changed, in words."""

    field: str
    before: str
    after: str


def diff(result: CommandResult) -> tuple[Change, ...]:
    """Return what a command changed in the rollout state; nothing unless it was applied.

    >>> from msgspec.structs import replace
    >>> before = RolloutState("production", 7, "canary", "v0.1", "v0.2", 10.0)
    >>> after = replace(before, epoch=8, canary_percentage=25.0)
    >>> result = CommandResult("c1", "rollout", "production", "applied", 8, "anna", "")
    >>> diff(replace(result, before=before, after=after))
    (Change(field='canary percentage', before='10 %', after='25 %'),)
    """
    before, after = result.before or NO_STATE, result.after
    if result.status != "applied" or after is None:
        return ()
    pairs = [
        (_label(field), _words(getattr(before, field)), _words(getattr(after, field)))
        for field in STATE_FIELDS
    ]
    pairs.append(("ramp", ramp_words(before.ramp), ramp_words(after.ramp)))
    return tuple(Change(field, old, new) for field, old, new in pairs if old != new)


def ramp_words(ramp: RampState | None) -> str:
    """Return how far `ramp` has come, in a few words.

    >>> from registry.wire.instants import BEGINNING
    >>> ramp_words(RampState(Ramp((5.0, 100.0), 60), "c1", stage=1, since=BEGINNING, paused=True))
    'at 5 % (stage 2 of 3), paused'
    """
    if ramp is None:
        return "none"
    stage = stage_of(ramp)
    place = f"at {stage.percentage:g} %" if stage.kind == "stepping" else stage.kind
    if ramp.outcome is not None:
        outcome = ramp.outcome.replace("_", " ")
        if ramp.outcome == "promoted":
            return f"{outcome} {ramp.version or ''}".rstrip()
        return f"{outcome}, {f'{ramp.version} was' if ramp.version else 'was'} {place}"
    stages = stages_of(ramp.plan, ramp.environments)
    words = f"{place} (stage {ramp.stage + 1} of {len(stages)})"
    if ramp.asked is not None:
        words += f", {_stretched(ramp.asked, ramp.plan)}"
    if ramp.paused:
        words += ", paused"
    if ramp.environments:
        words += f", then {', '.join(ramp.environments)}"
    return words


def _stretched(asked: Ramp, plan: Ramp) -> str:
    """Say which holds were stretched to fit the traffic."""
    pairs = [("hold", asked.hold_seconds, plan.hold_seconds)]
    if asked.shadow is not None and plan.shadow is not None:
        pairs.append(("shadow", asked.shadow.hold_seconds, plan.shadow.hold_seconds))
    return ", ".join(
        f"{name} stretched from {before:g} to {now:g} s for the traffic"
        for name, before, now in pairs
        if before != now
    )


def end_words(state: RolloutState | None, ramp_id: str) -> str:
    """Return how the ramp of `ramp_id` ended, by whose command and why, once it has.

    Parameters
    ----------
    state
        The first one seen in which it is no longer in progress; None if there is no state.
    ramp_id
        Of a ramp that was in progress before.

    Examples
    --------
    >>> end_words(RolloutState("eu", 9, "fixed", "v0.3", updated_by="anna", reason="a fix"), "c1")
    'cancelled by anna: a fix (strategy fixed, primary v0.3)'
    """
    if state is None:
        return "cancelled: there is no rollout state any more"
    who, why = state.updated_by or "somebody", state.reason or "no reason given"
    ramp = state.ramp
    if ramp is None or ramp.ramp_id != ramp_id or ramp.outcome is None:
        return f"cancelled by {who}: {why} ({words_for(state)})"
    return f"{ramp.outcome.replace('_', ' ')} by {who}: {why}"


def cause_words(cause: RampCause) -> str:
    """Return the training run that a version comes from, in a few words.

    >>> cause_words(RampCause("run-7", "anna", "new films"))
    'training run run-7, asked for by anna: new films'
    """
    words = f"training run {cause.run_id}, asked for by {cause.issued_by}"
    return words if cause.reason is None else f"{words}: {cause.reason}"


def with_cause(reason: str, ramp: RampState | None) -> str:
    """Return `reason` with the training run that `ramp` comes from, if it comes from one.

    As long as a reason may be; the run's words are kept of a long one.
    """
    if ramp is None or ramp.cause is None:
        return reason[:REASON_CHARACTERS]
    cause = f"; {cause_words(ramp.cause)}"[:CAUSE_CHARACTERS]
    return reason[: REASON_CHARACTERS - len(cause)] + cause


def _label(field: str) -> str:
    return field.removesuffix("_version").replace("_", " ")


def _words(value: str | float | None) -> str:
    if value is None or value == "":
        return "none"
    return value if isinstance(value, str) else f"{round(value, 2):g} %"
