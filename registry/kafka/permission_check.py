"""What Kafka allows this user, compared with what a role needs.

An edge: asks the broker for the operations that it allows on topics and groups. Must not know why
a role needs something (`registry.kafka.permissions`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from registry.connection.acl_denials import denial
from registry.connection.client_config import client_config
from registry.connection.reachability import DENIALS, unreachable
from registry.errors import AccessRefused
from registry.kafka.permissions import Permission, Role, permissions_of
from registry.kafka.topics import topics_of
from registry.settings import Settings

ASK_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 0.1

UNSEEN: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND})
"""Of what does not exist Kafka does not say what is allowed; who makes it finds out."""

PASSING: Final = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
    }
)
"""What a coordinator says for a moment, after a start or a move; librdkafka does not ask again."""


def missing_permissions(settings: Settings, role: Role) -> list[Permission]:
    """Return what `role` needs and this user may not do; of topics that exist, without CREATE.

    Kafka tells what it allows on topics and groups, and not on transactional ids.

    Raises
    ------
    TransportError
        If Kafka does not answer.
    """
    needed = [
        permission
        for permission in permissions_of(settings, role)
        if permission.operation != "CREATE" and permission.kind != "transactional-id"
    ]
    admin = AdminClient(client_config(settings) | {"log_level": 2})
    deadline = time.monotonic() + ASK_SECONDS
    while True:
        try:
            allowed = _answers(admin, needed)
        except KafkaException as error:
            if error.args[0].code() not in PASSING or time.monotonic() > deadline:
                raise unreachable(settings, error) from error
            time.sleep(RETRY_SECONDS)
        else:
            return [
                permission
                for permission in needed
                if not _is_allowed(permission, allowed[permission.kind, permission.name])
            ]


def require_permissions(settings: Settings, role: Role) -> None:
    """Check that Kafka allows this user what `role` needs, but for topics that are optional.

    Only where connections are secured: without, all have one name (ANONYMOUS) and no ACLs.

    Raises
    ------
    AccessRefused
        Naming everything that is missing.
    """
    if settings.kafka_security_protocol == "PLAINTEXT":
        return
    optional = topics_of(settings).optional
    missing = [
        permission
        for permission in missing_permissions(settings, role)
        if permission.name not in optional
    ]
    if missing:
        raise AccessRefused("\n".join(denial(*_named(permission)) for permission in missing))


def _named(permission: Permission) -> Any:
    return (
        permission.operation,
        permission.kind,
        f"{permission.name}*" if permission.prefixed else permission.name,
    )


def _answers(
    admin: AdminClient, needed: Sequence[Permission]
) -> dict[tuple[str, str], frozenset[str] | None]:
    """Return, by kind and name, the operations that are allowed; None if Kafka does not say."""
    topics = TopicCollection(
        sorted({permission.name for permission in needed if permission.kind == "topic"})
    )
    groups = sorted({permission.name for permission in needed if permission.kind == "group"})
    more: Any = {"include_authorized_operations": True, "request_timeout": ASK_SECONDS}
    asked = {
        "topic": admin.describe_topics(topics, **more),
        "group": admin.describe_consumer_groups(groups, **more),
    }
    return {
        (kind, name): _operations(future)
        for kind, futures in asked.items()
        for name, future in futures.items()
    }


def _operations(future: Any) -> frozenset[str] | None:
    try:
        operations = future.result().authorized_operations
    except KafkaException as error:
        if error.args[0].code() in UNSEEN:
            return None
        if error.args[0].code() in DENIALS:
            return frozenset()
        raise
    return None if operations is None else frozenset(permission.name for permission in operations)


def _is_allowed(permission: Permission, allowed: frozenset[str] | None) -> bool:
    return allowed is None or permission.operation in allowed
