"""The `items` of a session as events: the latest of all, so they replace what the user did before.

Pure.
"""

from __future__ import annotations

from typing import Final

from registry.fresh.fresh_events import FreshEvent
from registry.wire.requests import Request

NOW: Final = 1e11
"""The time of what is done in a session, in seconds since the epoch: later than any event, so that
it replaces what the user did with the same item before. Later than a version's newest, an event
weighs the same whatever its time."""


def session_events(request: Request) -> tuple[FreshEvent, ...]:
    """Return what is done in this session as events, later than all others."""
    return tuple(
        FreshEvent(
            item.item_id,
            item.event,
            1.0 if item.value is None else item.value,
            NOW,
            offset,
        )
        for offset, item in enumerate(request.items or ())
    )
