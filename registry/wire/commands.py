"""Control commands (topic ``control``): their types and arguments, not what they do."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, field

from registry.epochs import MAX_EPOCH
from registry.wire.counts import ArmCounts
from registry.wire.field_types import Id, Word
from registry.wire.origins import Origin, operator
from registry.wire.ramp_values import Finding, Ramp

CommandType: TypeAlias = Literal[
    "swap",
    "rollout",
    "promote",
    "rollback",
    "abort",
    "pause",
    "resume",
    "step",
    "retrain",
    "begin_era",
]

Deploy: TypeAlias = Literal["swap", "canary", "shadow", "none"]


class Command(Struct, frozen=True, omit_defaults=True):
    """One control command (topic ``control``, keyed by environment).

    Fields that a type does not use are ignored; a field that is absent is ``UNSET``. ``step``,
    ``findings`` and ``baseline`` are what a ramp says of itself, ``ramp_id`` which ramp it is that
    goes on in another environment; see `registry.rollout.ramp_decision`.
    """

    command_id: Id
    type: CommandType
    issued_by: Annotated[str, Meta(min_length=1, max_length=200)]
    environment: Id = "production"
    expected_epoch: Annotated[int, Meta(ge=-1, le=MAX_EPOCH)] | None = None
    reason: Annotated[str, Meta(max_length=1000)] | None = None
    origin: Origin = field(default_factory=operator)
    model_version: Id | UnsetType = UNSET
    strategy: Word | UnsetType = UNSET
    canary_version: Id | UnsetType = UNSET
    canary_percentage: float | UnsetType = UNSET
    bucketing: Word | UnsetType = UNSET
    salt: Word | UnsetType = UNSET
    shadow_sample_percentage: float | UnsetType = UNSET
    ramp: Ramp | UnsetType = UNSET
    ramp_id: Id | UnsetType = UNSET
    environments: Annotated[tuple[Id, ...], Meta(max_length=100)] | UnsetType = UNSET
    step: Annotated[int, Meta(ge=0, le=1000)] | UnsetType = UNSET
    findings: tuple[Finding, ...] | UnsetType = UNSET
    baseline: ArmCounts | UnsetType = UNSET
    factors: Annotated[int, Meta(ge=1, le=4096)] | UnsetType = UNSET
    iterations: Annotated[int, Meta(ge=1, le=1000)] | UnsetType = UNSET
    regularization: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    alpha: Annotated[float, Meta(gt=0)] | UnsetType = UNSET
    deploy: Deploy | UnsetType = UNSET
