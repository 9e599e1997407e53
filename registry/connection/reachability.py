"""The first contact with Kafka, and why it fails.

An edge: asks a client for metadata, and when it fails, looks for the cause. Must not know what the
metadata is for.
"""

from __future__ import annotations

import time
from typing import Any, Final, Protocol

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from registry.connection.acl_denials import Operation, denial
from registry.connection.client_config import client_config
from registry.connection.listeners import look_at
from registry.connection.refused_connections import Cause, cause_of
from registry.errors import AccessRefused, TransportError
from registry.settings import Settings

FIRST_SECONDS: Final = 1.0
"""A contact that takes longer is examined: SCRAM over TLS takes 0.3 s, plain Kafka 0.01 s."""

AUTHENTICATION_SECONDS: Final = 2.0
"""Within this, a broker has said whether it knows the user: it lets the refused wait 0.1 s."""

ADDRESSES: Final = 3
"""How many of KAFKA_BOOTSTRAP_SERVERS are tried."""

DENIALS: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)

SILENT: Final = {"log_level": 0}


class AsksForMetadata(Protocol):
    """Any of librdkafka's clients."""

    def list_topics(self, topic: str = ..., timeout: float = ...) -> ClusterMetadata:
        """Return the metadata; KafkaException if there is no answer in time."""


def metadata_of(
    client: AsksForMetadata, settings: Settings, topic: str | None = None, *, seconds: float
) -> ClusterMetadata:
    """Return the metadata of all topics, or of one.

    Raises
    ------
    TransportError
        As soon as a cause is seen that waiting does not cure, otherwise after `seconds`.
    """
    named: dict[str, Any] = {} if topic is None else {"topic": topic}
    deadline = time.monotonic() + seconds
    wait = min(FIRST_SECONDS, seconds)
    while True:
        try:
            found = client.list_topics(**named, timeout=wait)
        except KafkaException as error:
            left = deadline - time.monotonic()
            cause = find_cause(settings)
            if left <= 0 or (cause is not None and cause.final):
                raise no_contact(settings, error, cause) from error
            wait = max(0.1, left)
        else:
            problem = None if topic is None else found.topics[topic].error
            if topic is not None and problem is not None and problem.code() in DENIALS:
                raise AccessRefused(denial("DESCRIBE", "topic", topic))
            return found


def find_cause(settings: Settings) -> Cause | None:
    """Look for the reason why Kafka cannot be used now; None if there is none to be seen.

    Takes some milliseconds if all is well, up to 10 s if nothing answers.
    """
    addresses = settings.kafka_bootstrap_servers.split(",")[:ADDRESSES]
    seen = [look_at(settings, address) for address in addresses]
    causes = [cause_of(settings, listener) for listener in seen]
    if None not in causes:  # no address can be used: a lasting reason says more than a passing one
        return max((cause for cause in causes if cause), key=lambda cause: cause.final)
    usable = seen[causes.index(None)]
    return cause_of(settings, usable, _authentication_error(settings))


def unreachable(settings: Settings, error: KafkaException) -> TransportError:
    """Return what to say of a Kafka that did not answer, with the cause, which is looked for."""
    return no_contact(settings, error, find_cause(settings))


def refused(
    error: KafkaError, what: str, operation: Operation, kind: str, name: str
) -> TransportError:
    """Return what to say of an answer of Kafka that is a refusal.

    Parameters
    ----------
    error
        Kafka's.
    what
        What was not done; begins the sentence unless Kafka's ACLs are the reason.
    operation, kind, name
        What the ACLs must allow for it.
    """
    if error.code() in DENIALS:
        return AccessRefused(denial(operation, kind, name))
    return TransportError(f"{what}: {error.str()}")


def no_contact(
    settings: Settings, error: KafkaException | None, cause: Cause | None
) -> TransportError:
    """Return what to say of a Kafka that cannot be used."""
    where = settings.kafka_bootstrap_servers
    if cause is not None:
        if cause.final:
            return AccessRefused(f"Kafka on {where} cannot be used: {cause.sentence}")
        return TransportError(f"Kafka does not answer on {where}: {cause.sentence}")
    seen = error.args[0].str() if error is not None else "no answer"
    return TransportError(
        f"Kafka does not answer on {where}: {seen}; is it up, and is KAFKA_BOOTSTRAP_SERVERS "
        "right? `recstream broker` starts one for a laptop"
    )


def _authentication_error(settings: Settings) -> str:
    """Return what a new client says of its authentication; empty if nothing."""
    if not settings.kafka_security_protocol.startswith("SASL"):
        return ""
    found: list[str] = []

    def note(error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION:
            found.append(error.str())

    client = AdminClient(client_config(settings) | SILENT | {"error_cb": note})
    deadline = time.monotonic() + AUTHENTICATION_SECONDS
    while not found and time.monotonic() < deadline:
        try:
            client.list_topics(timeout=0.5)
        except KafkaException:
            client.poll(0)
        else:
            return ""
    return found[0] if found else ""
