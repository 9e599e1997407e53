"""The rollout state of one environment, as results and the rollout table carry it."""

from __future__ import annotations

from msgspec import Struct, field

from registry.wire.field_types import Bucketing, Strategy
from registry.wire.instants import InstantField
from registry.wire.origins import Origin, operator
from registry.wire.ramp_values import RampState


class RolloutState(Struct, frozen=True):
    """Who answers whom in one environment, from the command of ``epoch`` on (`registry.epochs`).

    ``ramp`` is the one in progress, or the last one, with its outcome, until the next command that
    is no ramp's. ``origin`` is that of the command of ``epoch``.
    """

    environment: str
    epoch: int
    strategy: Strategy
    primary_version: str
    canary_version: str | None = None
    canary_percentage: float = 0.0
    bucketing: Bucketing = "modulo"
    salt: str = ""
    previous_versions: tuple[str, ...] = ()
    updated_at: InstantField | None = None
    updated_by: str = ""
    reason: str | None = None
    shadow_sample_percentage: float = 100.0
    ramp: RampState | None = None
    origin: Origin = field(default_factory=operator)
