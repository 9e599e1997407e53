"""The settings: environment variables, read once into one typed value.

Knows which settings conflict. Each one's name, type, default and meaning is in
`registry/setting_groups/`; `.env.example` and the settings page are generated from them. Must not
know who uses a setting. An invalid value stops the start (exit code 2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from registry.setting_groups.worker_settings import WorkerSettings
from registry.wire.training_records.event_weights import DEFAULT


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
    if wrong := list(_contradictions(settings)):
        raise ConfigurationError("\n".join(wrong))
    return settings


def _contradictions(settings: Settings) -> Iterator[str]:
    """Say which settings do not go together."""
    if settings.rollout_strategy != "fixed" and settings.canary_version is None:
        yield f"ROLLOUT_STRATEGY={settings.rollout_strategy!r}: needs CANARY_VERSION as well"
    if settings.canary_version is not None and settings.canary_version == settings.model_version:
        yield f"CANARY_VERSION={settings.canary_version!r}: must differ from MODEL_VERSION"
    if settings.canary_percentage != round(settings.canary_percentage):
        yield (
            f"CANARY_PERCENTAGE={settings.canary_percentage!r}: must be a whole percentage; finer "
            "ones need bucketing hash, which a rollout command sets"
        )
    if settings.session_timeout >= settings.lease_seconds:
        yield (
            f"RECSTREAM_SESSION_TIMEOUT={settings.session_timeout:g}: must be less than "
            f"RECSTREAM_LEASE_SECONDS={settings.lease_seconds:g}, or the leases of all others "
            f"would expire when one worker dies"
        )
    if settings.retrain_warm_iterations and settings.train_backend != "implicit":
        yield (
            f"RETRAIN_WARM_ITERATIONS={settings.retrain_warm_iterations}: must be 0 with "
            f"TRAIN_BACKEND={settings.train_backend!r}, whose fit cannot start from given factors"
        )
    if settings.retrain_deploy == "ramp" and settings.retrain_ramp_file is None:
        yield "RETRAIN_DEPLOY='ramp': needs RETRAIN_RAMP_FILE as well"
    if settings.new_items == "on" and settings.fresh == "off":
        yield "RECSTREAM_NEW_ITEMS='on': needs RECSTREAM_FRESH='partition' or 'all'"
    yield from _mixed_spellings(settings)
    yield from _contradictions_of_http(settings)
    yield from _incomplete_security(settings)


def _mixed_spellings(settings: Settings) -> Iterator[str]:
    """Refuse weights that are given twice: nobody could tell which of them counts."""
    if settings.retrain_event_weights == DEFAULT:
        return
    for name in ("retrain_weight_watch", "retrain_weight_click", "retrain_rating_floor"):
        value = getattr(settings, name)
        if value is not None:
            yield (
                f"{name.upper()}={value:g}: is an older spelling, and conflicts with "
                f"RETRAIN_EVENT_WEIGHTS={settings.retrain_event_weights!r}; move it there, such "
                f"as watch=2 or rate=1:floor=2, and remove it"
            )


def _incomplete_security(settings: Settings) -> Iterator[str]:
    """Say what is missing to talk to a secured Kafka."""
    oauth = settings.kafka_sasl_mechanism == "OAUTHBEARER"
    if oauth:
        needed = "KAFKA_OAUTH_TOKEN_URL, KAFKA_OAUTH_CLIENT_ID and KAFKA_OAUTH_CLIENT_SECRET"
        secret = settings.kafka_oauth_client_secret.get_secret_value()
        given = bool(settings.kafka_oauth_token_url and settings.kafka_oauth_client_id and secret)
    else:
        needed = "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
        given = bool(settings.kafka_sasl_username)
    if settings.kafka_security_protocol.startswith("SASL") and not given:
        yield (
            f"KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol!r} with "
            f"KAFKA_SASL_MECHANISM={settings.kafka_sasl_mechanism!r}: needs {needed} as well"
        )
    if settings.kafka_ssl_key and not settings.kafka_ssl_certificate:
        yield f"KAFKA_SSL_KEY={settings.kafka_ssl_key!r}: needs KAFKA_SSL_CERTIFICATE as well"


SECRETS: Final = frozenset(
    field.alias for field in Settings.model_fields.values() if field.annotation is SecretStr
)
"""Variables whose values are never shown."""


def _contradictions_of_http(settings: Settings) -> Iterator[str]:
    command, read = settings.api_token.get_secret_value(), settings.read_token.get_secret_value()
    if read and not command:
        yield "RECSTREAM_READ_TOKEN=(secret): needs RECSTREAM_API_TOKEN as well, for commands"
    if read and read == command:
        yield (
            "RECSTREAM_READ_TOKEN=(secret): must differ from RECSTREAM_API_TOKEN, or its holders "
            "could send commands"
        )
    if settings.metrics_host is not None and settings.metrics_port is None:
        yield f"RECSTREAM_METRICS_HOST={settings.metrics_host!r}: needs RECSTREAM_METRICS_PORT"


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
