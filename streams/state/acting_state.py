"""Which rollout state a worker acts on.

A worker acts on a new state as soon as its primary version is ready, and until then on the last
one, whose epoch its answers carry (PRODUCT.md §3). Pure.
"""

from __future__ import annotations

from collections.abc import Container

from registry.wire.rollout_state import RolloutState


def next_acting(
    wanted: RolloutState | None, acting: RolloutState | None, ready: Container[str]
) -> RolloutState | None:
    """Return the state to act on from now: the newest if its primary is ready, else the last."""
    if wanted is not None and wanted.primary_version in ready:
        return wanted
    return acting
