"""Which recorded requests a version may replay: those from after all that it has learned. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ops.clients.recorded_traffic import Recorded
from registry.error_codes import CommandCode
from registry.errors import RefusedCommand


def without_leaks(
    recorded: Sequence[Recorded], version: str, learned_until: float
) -> list[Recorded]:
    """Return the requests that came later than `learned_until`, in seconds since 1970.

    Raises
    ------
    RefusedCommand
        With code ``leaks``, if there is none.
    """
    fair = [single for single in recorded if single.asked_at > learned_until]
    if not fair:
        learned = datetime.fromtimestamp(learned_until, UTC)
        raise RefusedCommand(
            f"replay: none of {len(recorded):,} answered requests came after what {version} has "
            f"learned from (until {learned:%Y-%m-%d %H:%M:%S} UTC); replay later ones with --from "
            f"and --to",
            CommandCode.LEAKS,
        )
    return fair
