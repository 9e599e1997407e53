"""Seeding: the first rollout state of an environment, asked for by a command like any other.

Knows which commands the settings ask for. ``expected_epoch=-1`` (no state yet) lets only one of two
owners that seed at the same time succeed. Later starts change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from registry.records import Command
from registry.settings import Settings


def seed_commands(settings: Settings, latest: str | None, seed_id: str) -> Sequence[Command]:
    """Return the commands that seed an empty rollout table; none if there is no version at all.

    Parameters
    ----------
    settings
        ``MODEL_VERSION``, ``ROLLOUT_STRATEGY``, ``CANARY_VERSION`` and ``CANARY_PERCENTAGE``.
    latest
        The registry's newest version, the primary where ``MODEL_VERSION`` is not set.
    seed_id
        Makes the commands' ids unique: a seed that was refused may be tried at the next start.
    """
    primary = settings.model_version or latest
    if primary is None:
        return ()
    swap = Command(
        command_id=f"{seed_id}-swap",
        type="swap",
        issued_by="environment",
        environment=settings.environment,
        expected_epoch=-1,
        reason="first start: MODEL_VERSION" if settings.model_version else "first start: latest",
        model_version=primary,
    )
    if settings.rollout_strategy == "fixed" or settings.canary_version is None:
        return (swap,)
    rollout = Command(
        command_id=f"{seed_id}-rollout",
        type="rollout",
        issued_by="environment",
        environment=settings.environment,
        reason="first start: ROLLOUT_STRATEGY",
        strategy=settings.rollout_strategy,
        canary_version=settings.canary_version,
        canary_percentage=settings.canary_percentage,
    )
    return (swap, rollout)
