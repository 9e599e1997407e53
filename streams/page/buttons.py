"""What the page's forms offer: the commands that the rules would accept now, and the current
values.

Pure. Asks the rules themselves (`registry.rollout.command_transitions`), so that the page and the
control log agree; whether a version can be loaded, only the control owner finds out. Must not know
HTML.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

from registry.errors import RefusedCommand
from registry.rollout.command_transitions import apply_command
from registry.rollout.expected_epoch import NO_EPOCH
from registry.rollout.ramp_transitions import ramp_under_way
from registry.rollout.rollout_transition import ROLLOUT_FIELDS
from registry.wire.commands import KINDS
from registry.wire.instants import BEGINNING
from registry.wire.rollout_state import RolloutState
from streams.page.status import Status

OneClick: TypeAlias = Literal["promote", "pause", "resume", "abort", "rollback"]


class Offer(Struct, frozen=True):
    """One button: what it says, and why the rules would refuse it now; None if they would not."""

    command: OneClick
    label: str
    refusal: str | None


class Now(Struct, frozen=True):
    """What the forms need to know of the present; sent along with every new picture.

    Parameters
    ----------
    mark
        Of the process that answers: another one may bring another page.
    epoch
        What a command sent now expects, so that an older picture changes nothing.
    title, headline
        Of the window, and for those who listen: the state in one sentence.
    environment
        Whose state this is.
    versions
        Those that could be deployed, newest first.
    fields
        The rollout's present values by field, as a form shows them.
    offers
        The buttons.
    """

    mark: str
    epoch: int
    title: str
    headline: str
    environment: str
    versions: tuple[str, ...]
    fields: dict[str, str]
    offers: tuple[Offer, ...]


def offers(state: RolloutState | None) -> tuple[Offer, ...]:
    """Return the commands that need no argument, with the refusal that each would meet now.

    Always as many, in the same places: the one that pauses a ramp is the one that resumes it.
    """
    ramp = ramp_under_way(state)
    stop_or_go: OneClick = "resume" if ramp is not None and ramp.paused else "pause"
    buttons: tuple[OneClick, ...] = ("promote", stop_or_go, "abort", "rollback")
    return tuple(
        Offer(command, _label(command, state), _refusal(command, state)) for command in buttons
    )


def fields(status: Status) -> dict[str, str]:
    """Return the current value of each field that ``rollout`` can change, as a form shows it."""
    state = status.rollout or RolloutState(status.environment, NO_EPOCH, "fixed", "")
    shown = {name: getattr(state, name) for name in ROLLOUT_FIELDS}
    return {
        name: f"{value:g}" if isinstance(value, float) else value or ""
        for name, value in shown.items()
    }


def _refusal(command: OneClick, state: RolloutState | None) -> str | None:
    fields: dict[str, Any] = {"command_id": "offer", "issued_by": "page"}
    asked = KINDS[command](**fields)
    try:
        apply_command(state, asked, epoch=0, at=BEGINNING, problems={})
    except RefusedCommand as error:
        return str(error)
    return None


def _label(command: OneClick, state: RolloutState | None) -> str:
    canary = state.canary_version if state else None
    previous = state.previous_versions[0] if state and state.previous_versions else None
    labels: dict[OneClick, str] = {
        "promote": f"Promote {canary}" if canary else "Promote",
        "pause": "Pause ramp",
        "resume": "Resume ramp",
        "abort": f"Abort {canary}" if canary else "End soak" if ramp_under_way(state) else "Abort",
        "rollback": f"Roll back to {previous}" if previous else "Roll back",
    }
    return labels[command]
