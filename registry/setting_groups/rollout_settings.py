"""The environment, the first version and rule that it begins with, and the queue of shadow."""

from __future__ import annotations

from pydantic import Field

from registry.setting_groups.setting_types import Name, SettingGroup, Version
from registry.wire.field_types import Strategy


class RolloutSettings(SettingGroup):
    """The environment and its first rollout state."""

    environment: Name = Field(
        "production",
        alias="ENVIRONMENT",
        description="Environment whose rollout state this worker acts on.",
    )
    model_version: Version | None = Field(
        None,
        alias="MODEL_VERSION",
        description="Seeds the rollout table once: first primary. Unset: the registry's latest.",
    )
    rollout_strategy: Strategy = Field(
        "fixed", alias="ROLLOUT_STRATEGY", description="Seeds the rollout table once."
    )
    canary_version: Version | None = Field(
        None, alias="CANARY_VERSION", description="Seeds the rollout table once."
    )
    canary_percentage: float = Field(
        0,
        alias="CANARY_PERCENTAGE",
        ge=0,
        le=100,
        description="Seeds the rollout table once. Percent.",
    )
    shadow_queue: int = Field(
        2_000,
        alias="RECSTREAM_SHADOW_QUEUE",
        ge=1,
        description="Maximum number of requests waiting for shadow comparison; more are dropped "
        "and counted.",
    )
