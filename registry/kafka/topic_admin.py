"""The topics: names, partition counts, configs; creating them and checking that they are right.

Knows what PRODUCT.md §2 says of each topic. Must not know what the records hold. Topics are created
by `create_topics` and checked when a worker starts, never left to auto-creation.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic

from registry.connection.client_config import client_config
from registry.connection.reachability import metadata_of, refused
from registry.errors import AccessRefused, ConfigurationError, TransportError
from registry.kafka.topics import (
    MIN_INSYNC,
    Topic,
    changelog_of,
    least_in_sync,
    mismatches,
    topics_of,
)
from registry.settings import Settings

ADMIN_TIMEOUT_SECONDS: Final = 30.0


def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing; return their names. Existing ones are left as they are.

    Raises
    ------
    TransportError
        If the broker can't be reached or refuses.
    """
    admin = AdminClient(client_config(settings))
    existing = partitions_by_topic(admin)
    wanted = [*topics_of(settings), changelog_of(settings)]
    missing = [topic for topic in wanted if topic.name not in existing]
    if not missing:
        return []
    return _create(admin, missing, settings)


def _create(admin: AdminClient, missing: Sequence[Topic], settings: Settings) -> list[str]:
    futures = admin.create_topics(
        [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=settings.replication_factor,
                config=dict(topic.configs)
                | {MIN_INSYNC: str(least_in_sync(settings.replication_factor))},
            )
            for topic in missing
        ],
        request_timeout=ADMIN_TIMEOUT_SECONDS,
    )
    created = []
    for name, future in futures.items():
        try:
            future.result()
            created.append(name)
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":  # another process was faster
                raise refused(
                    error.args[0], f"topic {name} could not be created", "CREATE", "topic", name
                ) from error
    wait_until_shown(admin, dict.fromkeys((topic.name for topic in missing), 1))
    return created


def create_changelog(settings: Settings) -> None:
    """Create the rollout table's changelog unless it is there, and wait until brokers show it.

    Faust would create it as well, but then takes an assignment whose metadata lacks the topic for
    one without a changelog, and the worker never recovers.

    Raises
    ------
    TransportError
        If the broker can't be reached or refuses.
    """
    changelog, admin = changelog_of(settings), AdminClient(client_config(settings))
    if changelog.name not in partitions_by_topic(admin):
        _create(admin, [changelog], settings)


def wait_until_shown(admin: AdminClient, partitions: Mapping[str, int]) -> None:
    """Return when the brokers show that number of partitions of each topic, by name.

    The controller knows them a moment earlier.

    Raises
    ------
    TransportError
        If they do not in time.
    """
    deadline = time.monotonic() + ADMIN_TIMEOUT_SECONDS
    while True:
        shown = partitions_by_topic(admin)
        absent = [name for name, least in partitions.items() if shown.get(name, 0) < least]
        if not absent:
            return
        if time.monotonic() > deadline:
            raise TransportError(
                f"Kafka has created partitions, but does not list them, for {absent}"
            )
        time.sleep(0.05)


def check_topics(settings: Settings) -> list[str]:
    """Return what is wrong with the topics, one sentence each; nothing if all is right."""
    admin = AdminClient(client_config(settings))
    existing = partitions_by_topic(admin)
    topics = topics_of(settings)
    return mismatches(topics, existing) + _faults(settings, admin, existing, list(topics))


def _faults(
    settings: Settings, admin: AdminClient, existing: Mapping[str, int], needed: Sequence[Topic]
) -> list[str]:
    wrong, topics = [], topics_of(settings)
    for topic in needed:
        partitions = existing.get(topic.name)
        if partitions is None and (complaint := _hidden(admin, settings, topic.name)):
            wrong.append(complaint)
        elif partitions is None:
            wrong.append(f"topic {topic.name} was not found; run `recstream topics create`")
        elif topic not in topics.by_user and partitions != topic.partitions:
            wrong.append(
                f"topic {topic.name} has {partitions} partitions, but {topic.partitions} are needed"
            )
    present = [topic for topic in needed if topic.name in existing]
    return wrong + _wrong_configs(admin, present)


def require_topics(settings: Settings) -> None:
    """Check what a worker cannot work without; topics that grow one after the other do not stop it.

    Raises
    ------
    ConfigurationError
        With every complaint of :func:`check_topics` but the :func:`mismatches`, and that a topic
        is missing which is optional.
    """
    admin = AdminClient(client_config(settings))
    topics = topics_of(settings)
    present = partitions_by_topic(admin)
    absent = topics.optional - present.keys()
    needed = [topic for topic in topics if topic.name not in absent]
    if wrong := _faults(settings, admin, present, needed):
        raise ConfigurationError("\n".join(wrong))


def partitions_by_topic(admin: AdminClient) -> dict[str, int]:
    """Return how many partitions each topic of the cluster has.

    Raises
    ------
    TransportError
        If the broker cannot be reached.
    """
    try:
        metadata = admin.list_topics(timeout=ADMIN_TIMEOUT_SECONDS)
    except KafkaException as error:
        raise TransportError(
            f"Kafka does not answer: {error}; check KAFKA_BOOTSTRAP_SERVERS"
        ) from error
    return {name: len(topic.partitions) for name, topic in metadata.topics.items()}


def _hidden(admin: AdminClient, settings: Settings, name: str) -> str | None:
    """Say if a topic that is not listed is one that we may not see; without ACLs it is missing.

    Where nobody is asked who he is, it is not asked for by name: an embedded broker would make it.
    """
    if settings.kafka_security_protocol == "PLAINTEXT":
        return None
    try:
        metadata_of(admin, settings, name, seconds=ADMIN_TIMEOUT_SECONDS)
    except AccessRefused as error:
        return str(error)
    return None


def _wrong_configs(admin: AdminClient, topics: Sequence[Topic]) -> list[str]:
    resources = [ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics]
    if not resources:
        return []
    futures = admin.describe_configs(resources, request_timeout=ADMIN_TIMEOUT_SECONDS)
    found = {}
    for resource, future in futures.items():
        try:
            found[resource.name] = future.result()
        except KafkaException as error:
            raise refused(
                error.args[0],
                f"topic {resource.name}: configs not readable",
                "DESCRIBE_CONFIGS",
                "topic",
                resource.name,
            ) from error
    return [
        f"topic {topic.name}: {name} is {seen.value}, {wanted} is needed"
        for topic in topics
        for name, wanted in topic.configs.items()
        if (seen := found[topic.name].get(name)) is not None and seen.value != wanted
    ]
