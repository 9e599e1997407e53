"""Types of settings: names, versions, secrets, cron expressions, time zones.

Each refuses an invalid value, and says what is allowed. Must not know which settings exist.
"""

from __future__ import annotations

import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from registry.client_passthrough import parse_client_settings
from registry.ids import is_version_name
from registry.wire.training_records.event_weights import parse_event_weights


class SettingGroup(BaseModel):
    """A group of settings. A field's alias is its environment variable."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=False
    )


def _version(name: str) -> str:
    if not is_version_name(name):
        raise ValueError("must look like v0.3 (vMAJOR.MINOR)")
    return name


def _cron(expression: str) -> str:
    try:
        CronSim(expression, datetime.datetime(2000, 1, 1))
    except CronSimError as error:
        raise ValueError(
            f"must be a cron expression of five fields, like '0 3 * * *' ({error})"
        ) from None
    return expression


def _zone(name: str) -> str:
    try:
        return name if name == "UTC" else ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        raise ValueError("must be a time zone that this machine knows, like Europe/Paris") from None


def _secret(secret: SecretStr) -> SecretStr:
    """A line break or blank at an end is never meant, and what it makes wrong is hard to see."""
    value = secret.get_secret_value()
    if value != value.strip() or not value.isprintable():
        raise ValueError(
            "must not begin or end with a blank or line break, nor contain control characters; "
            "was it read from a file with a trailing line break?"
        )
    return secret


def _client_settings(secret: SecretStr) -> SecretStr:
    parse_client_settings(secret.get_secret_value())
    return secret


def _event_weights(text: str) -> str:
    parse_event_weights(text)
    return text


EventWeightsText = Annotated[str, AfterValidator(_event_weights)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
ClientSettings = Annotated[SecretStr, AfterValidator(_client_settings)]
Version = Annotated[str, AfterValidator(_version)]
Cron = Annotated[str, AfterValidator(_cron)]
Zone = Annotated[str, AfterValidator(_zone)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=100)]
