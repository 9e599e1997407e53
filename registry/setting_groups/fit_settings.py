"""What a training learns from and how: windows, weights, hyperparameters, Spark."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.setting_groups.setting_types import EventWeightsText, SettingGroup
from registry.wire.training_records.event_weights import DEFAULT, EventWeight, parse_event_weights


class FitSettings(SettingGroup):
    """What is learned, from what, and by whom."""

    retrain_factors: int | None = Field(
        None,
        alias="RETRAIN_FACTORS",
        ge=1,
        le=4096,
        description="ALS: columns of the factors. Unset: by the data's size, 8 to 128; 32 with "
        "Spark.",
    )
    retrain_iterations: int = Field(
        15, alias="RETRAIN_ITERATIONS", ge=1, le=1000, description="ALS: sweeps."
    )
    retrain_warm_iterations: int = Field(
        0,
        alias="RETRAIN_WARM_ITERATIONS",
        ge=0,
        le=1000,
        description="ALS: iterations of a fit that starts from the primary version's factors, "
        "where ids match; 0: no warm starts. The model that is evaluated always starts at random.",
    )
    retrain_final_iterations: int = Field(
        3,
        alias="RETRAIN_FINAL_ITERATIONS",
        ge=0,
        le=1000,
        description="ALS: iterations of the published fit, which starts from the factors of the "
        "model that is evaluated; 0: it starts at random, with RETRAIN_ITERATIONS.",
    )
    retrain_regularization: float | None = Field(
        None,
        alias="RETRAIN_REGULARIZATION",
        gt=0,
        description="ALS: weight of the L2 term. Unset: by the data; 3 with Spark.",
    )
    retrain_alpha: float | None = Field(
        None,
        alias="RETRAIN_ALPHA",
        gt=0,
        description="ALS: confidence of an interaction is alpha × its weight. Unset: 1 / the mean "
        "weight; 1 with Spark.",
    )
    retrain_seed: int = Field(
        42,
        alias="RETRAIN_SEED",
        ge=0,
        le=2**32 - 1,
        description="Seed of the initial factors.",
    )
    retrain_event_weights: EventWeightsText = Field(
        DEFAULT,
        alias="RETRAIN_EVENT_WEIGHTS",
        description="How much each kind of event counts: "
        "`KIND=WEIGHT[:TRANSFORM][:floor=NUMBER]`, separated by commas. Transforms: `linear`, "
        "`log`, `sqrt`, `binary`, `bm25` (`:k1=100:b=0.8:per=item`), and `auto`, which is `log` "
        "once a value is above 10, else `linear`. `KIND=undo:TARGET`, such as `unlike=undo:like`, "
        "takes events of the kind `TARGET` back. A kind that is not listed is ignored, and "
        "counted.",
    )
    retrain_weight_watch: float | None = Field(
        None,
        alias="RETRAIN_WEIGHT_WATCH",
        ge=0,
        le=1e6,
        description="Older spelling of the weight of `watch`, `linear`, beside the default "
        "RETRAIN_EVENT_WEIGHTS.",
    )
    retrain_weight_click: float | None = Field(
        None,
        alias="RETRAIN_WEIGHT_CLICK",
        ge=0,
        le=1e6,
        description="Older spelling of the weight of `click`, `linear`, likewise.",
    )
    retrain_rating_floor: float | None = Field(
        None,
        alias="RETRAIN_RATING_FLOOR",
        ge=-1e6,
        le=1e6,
        description="Older spelling of the weight of `rate`, `linear` with this floor, likewise.",
    )
    retrain_window_days: float = Field(
        0,
        alias="RETRAIN_WINDOW_DAYS",
        ge=0,
        description="Interactions older than this, relative to the snapshot's newest one, are not "
        "learned, but count as seen. Days; 0: no window.",
    )
    retrain_half_life_days: float = Field(
        0,
        alias="RETRAIN_HALF_LIFE_DAYS",
        ge=0,
        description="An interaction of this age, relative to the snapshot's newest one, weighs "
        "half. "
        "Days; 0: no decay.",
    )
    retrain_min_user_interactions: int = Field(
        0,
        alias="RETRAIN_MIN_USER_INTERACTIONS",
        ge=0,
        description="Users with fewer items of weight above 0 are left out of the model.",
    )
    retrain_min_item_interactions: int = Field(
        0,
        alias="RETRAIN_MIN_ITEM_INTERACTIONS",
        ge=0,
        description="Items with fewer such users are left out of the model.",
    )
    retrain_lost_ranges: Literal["refuse", "accept"] = Field(
        "refuse",
        alias="RETRAIN_LOST_RANGES",
        description="If Kafka has lost records that no snapshot holds: end the run, or train on "
        "the rest and record it in the manifest.",
    )
    train_backend: Literal["implicit", "spark"] = Field(
        "implicit",
        alias="TRAIN_BACKEND",
        description="What fits the model: `implicit` on this machine, or Spark, which needs "
        "`recstream[spark]` and Java 17.",
    )
    train_spark_master: str | None = Field(
        None,
        alias="TRAIN_SPARK_MASTER",
        pattern=r"^(local(-cluster)?(\[.+\])?|yarn|\w+://.+)$",
        description="Spark's master URL, like `spark://host:7077`. Unset: this machine, with "
        "`RETRAIN_THREADS`.",
    )
    train_spark_staging: str | None = Field(
        None,
        alias="TRAIN_SPARK_STAGING",
        min_length=1,
        description="Folder or fsspec URL that this machine and Spark's executors share. Unset: a "
        "temporary folder, which works only with a local Spark.",
    )
    train_spark_memory: str = Field(
        "2g",
        alias="TRAIN_SPARK_MEMORY",
        pattern=r"^[1-9]\d*[mg]$",
        description="Memory of Spark's driver; on this machine that is all of Spark.",
    )

    @property
    def event_weights(self) -> dict[str, EventWeight]:
        """The weight of each kind of event that counts, older spellings included."""
        older = {
            "watch": self.retrain_weight_watch,
            "click": self.retrain_weight_click,
            "rate": self.retrain_rating_floor,
        }
        return parse_event_weights(self.retrain_event_weights) | {
            kind: EventWeight(1.0, floor=value) if kind == "rate" else EventWeight(value)
            for kind, value in older.items()
            if value is not None
        }
