"""How a program's Kafka clients are made: which settings are ours, and what their errors mean.

Knows librdkafka's names. Must not know what is sent or read.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from registry.errors import AccessRefused, ConfigurationError, TransportError
from registry.outage_settings import OUTAGE_SETTINGS

Client = TypeVar("Client", Producer, Consumer)

CONFIRMATION_SECONDS: Final = 30.0
"""How long Kafka may take to confirm a record: longer than a broker's restart."""

OWN_SETTINGS: Final[Mapping[str, str]] = {
    "bootstrap.servers": "the first argument",
    "partitioner": "murmur2_random, as in Java: a user's records must meet on one worker",
    "acks": "all",
    "enable.idempotence": "true: a user's records stay in order, and are written once",
    "group.id": "PREFIX-reader-…, which is never joined",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": "false",
}
"""What cannot be set, and what it is: answers would get lost, or a user's records part."""

PRODUCER: Final[Mapping[str, Any]] = {
    "partitioner": "murmur2_random",
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 0,
    "message.timeout.ms": int(CONFIRMATION_SECONDS * 1000),
}

CONSUMER: Final[Mapping[str, Any]] = {
    "auto.offset.reset": "earliest",  # of a topic that was recreated
    "enable.auto.commit": False,
    "fetch.wait.max.ms": 100,  # the embedded broker's fetch does not wake up for a record
}

LASTING: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)
"""Errors that waiting does not cure."""


class ClientFactory:
    """Makes the clients of one program, and remembers their latest error.

    Parameters
    ----------
    servers
        Kafka's addresses, by commas.
    topic_prefix
        The fleet's ``RECSTREAM_TOPIC_PREFIX``.
    config
        More settings of librdkafka, for security above all.

    Raises
    ------
    ConfigurationError
        If `config` names what cannot be set.
    """

    def __init__(self, servers: str, topic_prefix: str, config: Mapping[str, Any]) -> None:
        for name in OWN_SETTINGS.keys() & config.keys():
            raise ConfigurationError(f"{name} cannot be set here: it is {OWN_SETTINGS[name]}")
        self.servers = servers
        self.latest_error: KafkaError | None = None
        self._group = f"{topic_prefix}-reader-{uuid.uuid4()}"
        self._config = {
            **OUTAGE_SETTINGS,
            "log_level": 2,  # librdkafka would log each refused connection; our errors say it once
            **config,
            "bootstrap.servers": servers,
            "error_cb": self._note_error,
        }

    def producer(self) -> Producer:
        """Return a new producer; ConfigurationError if librdkafka does not know a setting."""
        return self._made(Producer, PRODUCER)

    def consumer(self) -> Consumer:
        """Return a new consumer; ConfigurationError if librdkafka does not know a setting."""
        return self._made(Consumer, {**CONSUMER, "group.id": self._group})

    def explained(self, error: KafkaError, what: str) -> TransportError:
        """Return what to say of `error`; `what` was not done begins the sentence."""
        authentication = self.latest_error
        if authentication is not None and authentication.code() in LASTING:
            error = authentication
        kind = AccessRefused if error.code() in LASTING else TransportError
        return kind(f"{what} ({self.servers}): {error.str()}")

    def _note_error(self, error: KafkaError) -> None:
        self.latest_error = error

    def _made(self, kind: Callable[[dict[str, Any]], Client], own: Mapping[str, Any]) -> Client:
        try:
            return kind({**self._config, **own})
        except KafkaException as error:
            raise ConfigurationError(f"Kafka client: {error.args[0].str()}") from None
