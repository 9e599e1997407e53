"""Compare and set: a command that expects another epoch than the current one is refused. Pure."""

from __future__ import annotations

from typing import Final

from registry.error_codes import CommandCode
from registry.errors import RefusedCommand
from registry.rollout.current_phase import words_for
from registry.wire.commands import Command
from registry.wire.rollout_state import RolloutState

NO_EPOCH: Final = -1
"""What ``expected_epoch`` says of an environment without a state; no offset is negative."""


def require_epoch(state: RolloutState | None, command: Command) -> None:
    """Refuse a command whose issuer saw another state; -1 means "no state yet"."""
    current = NO_EPOCH if state is None else state.epoch
    if command.expected_epoch is not None and command.expected_epoch != current:
        changed = "no state yet"
        if state is not None:
            changed = (
                f"{state.updated_by or 'somebody'} changed it at {state.updated_at}: "
                f"{words_for(state)}"
            )
        raise RefusedCommand(
            f"expected_epoch {command.expected_epoch}: the epoch is now {current} ({changed}); "
            "read the state and decide again",
            CommandCode.STALE_EPOCH,
        )
