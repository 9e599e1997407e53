"""How a program's Kafka clients are made: which settings are ours, and what their errors mean.

Knows librdkafka's names. Must not know what is sent or read.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from registry.asking.answer_deadline import CONFIRMATION_SECONDS
from registry.errors import AccessRefused, ConfigurationError, TransportError
from registry.outage_settings import OUTAGE_SETTINGS

Client = TypeVar("Client", Producer, Consumer)

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

UNAUTHENTICATED: Final = frozenset(
    {KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._AUTHENTICATION}
)

NO_CONTACT: Final = frozenset(
    {
        KafkaError._MSG_TIMED_OUT,
        KafkaError._PURGE_QUEUE,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
    }
)
"""Errors of a call that only say that there is no contact; what was reported before says why."""


class ClientFactory:
    """Makes the clients of one program, and remembers why they have no contact.

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
        self._obstacle: KafkaError | None = None
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

    @property
    def are_unauthenticated(self) -> bool:
        """Whether Kafka has refused user, password or token, and nothing has worked since."""
        return self._obstacle is not None and self._obstacle.code() in UNAUTHENTICATED

    def note_contact(self) -> None:
        """Forget what was in the way: Kafka has confirmed or sent a record."""
        self._obstacle = None

    def obstacle(self) -> str:
        """Return why there is no contact, as far as the clients know; empty if they do not."""
        return "" if self._obstacle is None else self._obstacle.str()

    def explained(self, error: KafkaError, what: str) -> TransportError:
        """Return what to say of `error`; `what` was not done begins the sentence."""
        if self._obstacle is not None and error.code() in NO_CONTACT:
            error = self._obstacle
        if error.code() in UNAUTHENTICATED:
            return AccessRefused(
                f"Kafka refuses this client ({self.servers}): {error.str()}; check the sasl "
                "settings in `config`"
            )
        if error.code() in LASTING:
            return AccessRefused(f"{what} ({self.servers}): {error.str()}")
        hint = (
            "; is it up, and does its address fit `config`?" if error.code() in NO_CONTACT else ""
        )
        return TransportError(f"{what} ({self.servers}): {error.str()}{hint}")

    def _note_error(self, error: KafkaError) -> None:
        """Remember `error` unless a more telling one is known: that all are down tells nothing."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            return
        known = None if self._obstacle is None else self._obstacle.code()
        if known in (None, KafkaError._TRANSPORT) or error.code() != KafkaError._TRANSPORT:
            self._obstacle = error

    def _made(self, kind: Callable[[dict[str, Any]], Client], own: Mapping[str, Any]) -> Client:
        try:
            return kind({**self._config, **own})
        except KafkaException as error:
            raise ConfigurationError(f"Kafka client: {error.args[0].str()}") from None
