"""What Kafka's clients are configured with, from the settings.

Knows librdkafka's names. Must not know what a client is for.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from confluent_kafka import Consumer, KafkaException

from registry.client_passthrough import passed_through
from registry.connection.tls_files import tls_context
from registry.errors import ConfigurationError
from registry.outage_settings import OUTAGE_SETTINGS
from registry.settings import Settings


def client_config(settings: Settings) -> dict[str, Any]:
    """Return what every librdkafka client needs to reach the broker.

    Raises
    ------
    ConfigurationError
        If a certificate or key cannot be read, or librdkafka does not know a further setting.
    """
    more = passed_through(settings)
    _require_known(tuple(sorted(more.items())))
    config: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        **OUTAGE_SETTINGS,
        "log_level": 5,  # librdkafka's notices; its chatter about closing clients is level 6
        **more,
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        config |= _sasl(settings)
    if settings.kafka_security_protocol.endswith("SSL"):
        tls_context(settings)  # librdkafka's own errors do not name the file
        files = {
            "ssl.ca.location": settings.kafka_ssl_ca,
            "ssl.certificate.location": settings.kafka_ssl_certificate,
            "ssl.key.location": settings.kafka_ssl_key,
        }
        config |= {name: path for name, path in files.items() if path}
    return config


def _sasl(settings: Settings) -> dict[str, Any]:
    if settings.kafka_sasl_mechanism != "OAUTHBEARER":
        return {
            "sasl.mechanism": settings.kafka_sasl_mechanism,
            "sasl.username": settings.kafka_sasl_username,
            "sasl.password": settings.kafka_sasl_password.get_secret_value(),
        }
    token = {
        "sasl.mechanism": "OAUTHBEARER",
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": settings.kafka_oauth_token_url,
        "sasl.oauthbearer.client.id": settings.kafka_oauth_client_id,
        "sasl.oauthbearer.client.secret": settings.kafka_oauth_client_secret.get_secret_value(),
        "sasl.oauthbearer.scope": settings.kafka_oauth_scope,
    }
    return {name: value for name, value in token.items() if value}


@lru_cache(maxsize=8)
def _require_known(more: tuple[tuple[str, str], ...]) -> None:
    """Have librdkafka check other settings; only it knows their names and values."""
    if not more:
        return
    try:
        Consumer({**dict(more), "group.id": "check", "log_level": 0}).close()
    except KafkaException as error:
        raise ConfigurationError(f"KAFKA_CLIENT_SETTINGS: {error.args[0].str()}") from None
