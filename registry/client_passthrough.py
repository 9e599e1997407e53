"""Other settings of Kafka's clients, by librdkafka's names: which are allowed, and which not.

Decides only. Must not know what a client does with them. `KAFKA_CLIENT_SETTINGS` is a JSON object,
or ``name=value`` pairs separated by commas. All librdkafka clients get them. A worker's consumer is
another library (aiokafka), which gets those that it supports (`FAUST_NAMES`, and TLS).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from registry.settings import Settings

OWN_SETTING: Final[Mapping[str, str]] = {
    "bootstrap.servers": "KAFKA_BOOTSTRAP_SERVERS",
    "metadata.broker.list": "KAFKA_BOOTSTRAP_SERVERS",
    "security.protocol": "KAFKA_SECURITY_PROTOCOL",
    "sasl.mechanism": "KAFKA_SASL_MECHANISM",
    "sasl.mechanisms": "KAFKA_SASL_MECHANISM",
    "sasl.username": "KAFKA_SASL_USERNAME",
    "sasl.password": "KAFKA_SASL_PASSWORD",
    "sasl.oauthbearer.method": "KAFKA_SASL_MECHANISM",
    "sasl.oauthbearer.token.endpoint.url": "KAFKA_OAUTH_TOKEN_URL",
    "sasl.oauthbearer.client.id": "KAFKA_OAUTH_CLIENT_ID",
    "sasl.oauthbearer.client.secret": "KAFKA_OAUTH_CLIENT_SECRET",
    "sasl.oauthbearer.scope": "KAFKA_OAUTH_SCOPE",
    "ssl.ca.location": "KAFKA_SSL_CA",
    "ssl.ca.pem": "KAFKA_SSL_CA",
    "ssl.certificate.location": "KAFKA_SSL_CERTIFICATE",
    "ssl.certificate.pem": "KAFKA_SSL_CERTIFICATE",
    "ssl.key.location": "KAFKA_SSL_KEY",
    "ssl.key.pem": "KAFKA_SSL_KEY",
    "session.timeout.ms": "RECSTREAM_SESSION_TIMEOUT",
}
"""Names that have a setting of their own, which reaches both libraries."""

GUARANTEED: Final[frozenset[str]] = frozenset(
    {
        "acks",
        "allow.auto.create.topics",
        "auto.offset.reset",
        "delivery.report.only.error",
        "delivery.timeout.ms",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "fetch.wait.max.ms",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "group.remote.assignor",
        "heartbeat.interval.ms",
        "isolation.level",
        "linger.ms",
        "log_level",
        "max.poll.interval.ms",
        "metadata.max.age.ms",
        "metadata.recovery.strategy",
        "message.max.bytes",
        "message.send.max.retries",
        "message.timeout.ms",
        "partition.assignment.strategy",
        "partitioner",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.messages",
        "queue.buffering.max.ms",
        "request.required.acks",
        "retries",
        "transactional.id",
    }
)
"""Names whose values our guarantees rest on: commits, groups, confirmed delivery, partitioning."""

FAUST_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "client.id": ("broker_client_id",),
    "connections.max.idle.ms": (
        "consumer_connections_max_idle_ms",
        "producer_connections_max_idle_ms",
    ),
    "max.partition.fetch.bytes": ("consumer_max_fetch_size",),
}
"""What a name is called where a worker's consumer is made."""


def parse_client_settings(text: str) -> dict[str, str]:
    """Return the settings by name.

    Raises
    ------
    ValueError
        Saying what is allowed; without a value, which may be a secret.

    Examples
    --------
    >>> parse_client_settings("socket.keepalive.enable=true, client.id=shop")
    {'socket.keepalive.enable': 'true', 'client.id': 'shop'}
    """
    settings = _from_json(text) if text.lstrip().startswith("{") else _from_pairs(text)
    for name in settings:
        if name in OWN_SETTING:
            raise ValueError(f"{name} has a setting of its own: {OWN_SETTING[name]}")
        if name in GUARANTEED:
            raise ValueError(f"{name} cannot be set: delivery and recovery depend on its value")
    if wrong := [name for name in FAUST_NAMES if not _fits(name, settings.get(name, "1"))]:
        raise ValueError(f"{wrong[0]} must be a whole number above 0")
    return settings


def passed_through(settings: Settings) -> dict[str, str]:
    """Return what `KAFKA_CLIENT_SETTINGS` of `settings` holds, by librdkafka's names."""
    return parse_client_settings(settings.kafka_client_settings.get_secret_value())


def faust_settings(settings: Settings) -> dict[str, Any]:
    """Return what of it Faust takes, by Faust's names."""
    return {
        name: int(value) if value.isdigit() and name != "broker_client_id" else value
        for given, value in passed_through(settings).items()
        for name in FAUST_NAMES.get(given, ())
    }


def _fits(name: str, value: str) -> bool:
    return name == "client.id" or (value.isdigit() and int(value) > 0)


def _from_json(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(found, dict):
        raise ValueError("must be a JSON object of names and values")
    for name, value in found.items():
        if not isinstance(value, str | int | float | bool):
            raise ValueError(f"{name}: must be a string, a number, true or false")
    return {name: _spelled(value) for name, value in found.items()}


def _spelled(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _from_pairs(text: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    for number, pair in enumerate(filter(None, map(str.strip, text.split(","))), 1):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise ValueError(
                f"pair {number} has no '='; must be name=value pairs separated by commas, or a "
                f"JSON object (for values with commas)"
            )
        if name.strip() in settings:
            raise ValueError(f"{name.strip()} is there twice")
        settings[name.strip()] = value.strip()
    return settings
