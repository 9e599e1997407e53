"""Which settings do not go together, and what is missing beside another.

Each group's own bounds are in its module. Must not know where values come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from registry.wire.training_records.event_weights import DEFAULT

if TYPE_CHECKING:
    from registry.settings import Settings


def conflicts_of(settings: Settings) -> Iterator[str]:
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
    yield from _conflicts_of_http(settings)
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
        password = settings.kafka_sasl_password.get_secret_value()
        given = bool(settings.kafka_sasl_username and password)
    if settings.kafka_security_protocol.startswith("SASL") and not given:
        yield (
            f"KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol!r} with "
            f"KAFKA_SASL_MECHANISM={settings.kafka_sasl_mechanism!r}: needs {needed} as well"
        )
    if settings.kafka_ssl_key and not settings.kafka_ssl_certificate:
        yield f"KAFKA_SSL_KEY={settings.kafka_ssl_key!r}: needs KAFKA_SSL_CERTIFICATE as well"


def _conflicts_of_http(settings: Settings) -> Iterator[str]:
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
