"""Seeding: the first rollout state of an environment, requested by commands like any other.

Pure. With ``expected_epoch`` a seed loses to any faster command: of two owners that seed at the
same time one succeeds, and an operator's command is never overridden. Later starts change nothing.
"""

from __future__ import annotations

from registry.rollout.expected_epoch import NO_EPOCH
from registry.settings import Settings
from registry.wire.commands import Command, Rollout, Swap
from registry.wire.origins import SEEDER
from registry.wire.rollout_state import RolloutState


def next_seed(
    settings: Settings, state: RolloutState | None, latest: str | None, seed_id: str
) -> Command | None:
    """Return the command that brings `state` nearer to what the settings seed; None if none does.

    A canary is only seeded beside a primary that was seeded.

    Parameters
    ----------
    settings
        ``MODEL_VERSION``, ``ROLLOUT_STRATEGY``, ``CANARY_VERSION`` and ``CANARY_PERCENTAGE``.
    state
        The rollout state, None before the first.
    latest
        The registry's newest version, the primary where ``MODEL_VERSION`` is not set.
    seed_id
        Becomes the command's id; a refused seed may be retried at the next start.
    """
    seed = Command(
        command_id=seed_id,
        issued_by=SEEDER,
        origin="seed",
        environment=settings.environment,
        expected_epoch=NO_EPOCH if state is None else state.epoch,
    )
    if state is None:
        return _primary(settings, seed, latest)
    if state.origin == "seed" and state.canary_version is None:
        return _canary(settings, seed)
    return None


def seed_notice(settings: Settings, state: RolloutState) -> str | None:
    """Return what the settings would seed and `state` is not; None where they agree or say nothing.

    The control topic is the truth once there is a state: a restart with other values changes
    nothing, and whoever set them should know.
    """
    seeded = {
        "MODEL_VERSION": (settings.model_version, state.primary_version),
        "CANARY_VERSION": (settings.canary_version, state.canary_version),
    }
    if settings.rollout_strategy != "fixed":
        seeded["ROLLOUT_STRATEGY"] = (settings.rollout_strategy, state.strategy)
    if settings.rollout_strategy == "canary":
        percentage = f"{settings.canary_percentage:g}"
        seeded["CANARY_PERCENTAGE"] = (percentage, f"{state.canary_percentage:g}")
    other = [
        f"{variable}={wanted} (now {present or 'none'})"
        for variable, (wanted, present) in seeded.items()
        if wanted is not None and wanted != present
    ]
    if not other:
        return None
    return (
        f"{', '.join(other)}: these only seed an environment without a state; {state.environment} "
        f"is at epoch {state.epoch}, set by {state.updated_by}. Use `recstream rollout` to change "
        "it"
    )


def _primary(settings: Settings, seed: Command, latest: str | None) -> Command | None:
    version = settings.model_version or latest
    if version is None:
        return None
    reason = "MODEL_VERSION" if settings.model_version else "the registry's latest"
    return Swap(**seed.common | {"reason": f"first start: {reason}"}, model_version=version)


def _canary(settings: Settings, seed: Command) -> Command | None:
    if settings.rollout_strategy == "fixed" or settings.canary_version is None:
        return None
    return Rollout(
        **seed.common | {"reason": "first start: ROLLOUT_STRATEGY"},
        strategy=settings.rollout_strategy,
        canary_version=settings.canary_version,
        canary_percentage=settings.canary_percentage,
    )
