"""When a worker retrains, with how much of its machine, and how the version is deployed."""

from __future__ import annotations

from pydantic import Field

from registry.setting_groups.setting_types import Cron, SettingGroup, Zone
from registry.wire.commands import Deploy


class RetrainingSettings(SettingGroup):
    """When training runs start, and what they may take."""

    retrain_interval: float = Field(
        0,
        alias="RETRAIN_INTERVAL",
        ge=0,
        description="Seconds between training runs; 0: no timer. `RETRAIN_CRON` takes precedence.",
    )
    retrain_cron: Cron | None = Field(
        None,
        alias="RETRAIN_CRON",
        description="Cron expression of the training runs, in `RETRAIN_TIME_ZONE`.",
    )
    retrain_time_zone: Zone = Field(
        "UTC",
        alias="RETRAIN_TIME_ZONE",
        description="Time zone of `RETRAIN_CRON`. When clocks change, a skipped time is made up "
        "for right after, and a repeated one counts once.",
    )
    retrain_jitter: float = Field(
        0,
        alias="RETRAIN_JITTER",
        ge=0,
        description="Maximum delay of a timer's run, in seconds; the delay differs by environment "
        "and due time.",
    )
    retrain_min_new_interactions: int = Field(
        0,
        alias="RETRAIN_MIN_NEW_INTERACTIONS",
        ge=0,
        description="A timer's run is skipped if fewer records than this have arrived since the "
        "last run's snapshot; a run by a `retrain` command never is.",
    )
    retrain_deploy: Deploy = Field(
        "swap",
        alias="RETRAIN_DEPLOY",
        description="How a version that passes its gate is deployed; `ramp` needs "
        "`RETRAIN_RAMP_FILE`.",
    )
    retrain_ramp_file: str | None = Field(
        None,
        alias="RETRAIN_RAMP_FILE",
        description="With `RETRAIN_DEPLOY=ramp`: the plan of its ramps, a file like that of "
        "`recstream rollout apply`, without `canary_version` and `reason`.",
    )
    retrain_canary_percentage: float = Field(
        10,
        alias="RETRAIN_CANARY_PERCENTAGE",
        ge=0,
        le=100,
        description="With `RETRAIN_DEPLOY=canary`. Percent.",
    )
    retrain_timeout: float = Field(
        3600, alias="RETRAIN_TIMEOUT", gt=0, description="Seconds after which a run is ended."
    )
    retrain_threads: int = Field(
        1,
        alias="RETRAIN_THREADS",
        ge=1,
        description="Threads of the fit; the other cores are left for serving.",
    )
    retrain_memory_bytes: int = Field(
        0,
        alias="RETRAIN_MEMORY_BYTES",
        ge=0,
        description="Memory (without mapped files) at which a run of the fleet is ended; 0: no "
        "limit.",
    )
    retrain_session_timeout: float = Field(
        15,
        alias="RETRAIN_SESSION_TIMEOUT",
        ge=6,  # Kafka's own least, `group.min.session.timeout.ms`
        le=30,  # the next run waits for 40 s (`training.runs.training_lock`)
        description="Seconds after which Kafka gives the training lock of a run that was killed to "
        "the next. A change of leaders in Kafka takes some 9 s: with less, it ends a run.",
    )
    retrain_niceness: int = Field(
        19,
        alias="RETRAIN_NICENESS",
        ge=0,
        le=19,
        description="Niceness of the fleet's runs, added to the worker's; 19 also means the idle "
        "class of Linux's scheduler. A lower value delays answers.",
    )
