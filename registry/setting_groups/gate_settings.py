"""When a trained version may be published: the holdout, and the gate's limits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.setting_groups.setting_types import SettingGroup


class GateSettings(SettingGroup):
    """The holdout and the gate."""

    retrain_holdout: float = Field(
        0.2,
        alias="RETRAIN_HOLDOUT",
        gt=0,
        lt=1,
        description="Share of each user's interactions that is held out.",
    )
    retrain_split: Literal["auto", "time", "random"] = Field(
        "auto",
        alias="RETRAIN_SPLIT",
        description="Which of a user's interactions are held out: the newest (`time`), or a "
        "sample drawn by the seed (`random`). `auto`: `random` if all times are those of one "
        "ingestion.",
    )
    retrain_min_users: int = Field(
        20, alias="RETRAIN_MIN_USERS", ge=1, description="Gate: users needed."
    )
    retrain_min_items: int = Field(
        20, alias="RETRAIN_MIN_ITEMS", ge=1, description="Gate: items needed."
    )
    retrain_min_interactions: int = Field(
        200, alias="RETRAIN_MIN_INTERACTIONS", ge=1, description="Gate: interactions needed."
    )
    retrain_tolerance: float = Field(
        0.1,
        alias="RETRAIN_TOLERANCE",
        ge=0,
        le=1,
        description="Gate: share of the incumbent's NDCG@10 that a new version may be worse by.",
    )
    retrain_inconclusive: Literal["publish", "refuse"] = Field(
        "refuse",
        alias="RETRAIN_INCONCLUSIVE",
        description="Gate: what to do with a version if the 95 % interval of the comparison with "
        "popularity or with the incumbent allows both outcomes.",
    )
    retrain_max_changed: float = Field(
        1,
        alias="RETRAIN_MAX_CHANGED",
        ge=0,
        le=1,
        description="Gate: share of users for whom more than half of the ten best items may "
        "differ from the incumbent's; 1: no limit.",
    )
    retrain_max_missing_items: float = Field(
        0.5,
        alias="RETRAIN_MAX_MISSING_ITEMS",
        ge=0,
        le=1,
        description="Gate: share of the incumbent's items that a new version may lack; 1: no "
        "limit.",
    )
