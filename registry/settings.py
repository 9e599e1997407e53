"""The settings: environment variables, read once into one typed value.

Each one's name, type, default and meaning is in `registry/setting_groups/`, and which of them
conflict in its `setting_conflicts`; `.env.example` and the settings page are generated from them.
Must not know who uses a setting. An invalid value stops the start (exit code 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import SecretStr, ValidationError

from registry.errors import ConfigurationError
from registry.setting_groups.fit_settings import FitSettings
from registry.setting_groups.fresh_settings import FreshSettings
from registry.setting_groups.gate_settings import GateSettings
from registry.setting_groups.kafka_settings import KafkaSettings
from registry.setting_groups.model_settings import ModelSettings
from registry.setting_groups.outcome_settings import OutcomeSettings
from registry.setting_groups.retraining_settings import RetrainingSettings
from registry.setting_groups.rollout_settings import RolloutSettings
from registry.setting_groups.setting_conflicts import conflicts_of
from registry.setting_groups.worker_settings import WorkerSettings


class Settings(
    GateSettings,
    FitSettings,
    RetrainingSettings,
    FreshSettings,
    OutcomeSettings,
    WorkerSettings,
    ModelSettings,
    RolloutSettings,
    KafkaSettings,
):
    """Everything that can be configured; the groups are listed last to first, as they are shown."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables; empty ones count as unset.

    Raises
    ------
    ConfigurationError
        Naming each wrong variable, its value and what is allowed.
    """
    known = {field.alias for field in Settings.model_fields.values()}
    given = {name: value for name, value in environment.items() if name in known and value != ""}
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        raise ConfigurationError(
            "\n".join(_complaint(problem) for problem in error.errors())
        ) from None
    if wrong := list(conflicts_of(settings)):
        raise ConfigurationError("\n".join(wrong))
    return settings


SECRETS: Final = frozenset(
    field.alias for field in Settings.model_fields.values() if field.annotation is SecretStr
)
"""Variables whose values are never shown."""


def _complaint(error: object) -> str:
    assert isinstance(error, dict)
    variable = ".".join(str(part) for part in error["loc"])
    secret = variable in SECRETS
    seen = "(secret)" if secret else repr(error["input"])
    return f"{variable}={seen}: {error['msg'].removeprefix('Value error, ')}"


def to_environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables that :func:`read_settings` reads `settings` from."""
    values = {field.alias: getattr(settings, name) for name, field in Settings.model_fields.items()}
    return {
        variable: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for variable, value in values.items()
        if variable is not None and value is not None
    }
