"""Upkeep of the topics: what a worker can start without, but a fleet should not run without for
long.

Knows how the rollout table's changelog is compacted, and how many replicas a record must have. What
a worker needs to start is checked in `registry.kafka.topic_admin`; a release older than these rules
must be able to start, and to be replaced, before they are met.
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from registry.connection.client_config import client_config
from registry.connection.reachability import metadata_of, refused
from registry.errors import TransportError
from registry.kafka.topic_admin import ADMIN_TIMEOUT_SECONDS
from registry.kafka.topics import MIN_INSYNC, changelog_of, least_in_sync, topics_of
from registry.settings import Settings

NUDGE_KEY: Final = b'"fleet:"'
"""Of a record without a value that makes Kafka begin a new segment, so that the one before can be
compacted. No release keeps anything under it."""


class Fault(NamedTuple):
    """What is wrong with a topic: a setting that can be set, or a number of copies that cannot."""

    topic: str
    setting: str
    seen: str
    wanted: str

    def __str__(self) -> str:
        more = "" if self.is_mendable else " (RECSTREAM_REPLICATION_FACTOR)"
        return f"topic {self.topic}: {self.setting} is {self.seen}, {self.wanted} is needed{more}"

    @property
    def is_mendable(self) -> bool:
        """Whether :func:`mend_topics` can set it."""
        return self.setting != REPLICATION_FACTOR


REPLICATION_FACTOR: Final = "replication factor"


def faults_of(settings: Settings) -> list[Fault]:
    """Return what is wrong with configs and copies of the topics that are there.

    Raises
    ------
    TransportError
        If the broker can't be reached or refuses.
    """
    return _faults(settings, AdminClient(client_config(settings)))


def mend_topics(settings: Settings) -> list[Fault]:
    """Set what can be set, and let the changelog be compacted; return what was wrong.

    Raises
    ------
    TransportError
        If the broker can't be reached or refuses.
    """
    admin = AdminClient(client_config(settings))
    found = [fault for fault in _faults(settings, admin) if fault.is_mendable]
    by_topic: dict[str, list[Fault]] = {}
    for fault in found:
        by_topic.setdefault(fault.topic, []).append(fault)
    for name, faults in by_topic.items():
        _set(admin, name, faults)
    if changelog_of(settings).name in by_topic:
        _nudge(settings, admin)
    return found


def _faults(settings: Settings, admin: AdminClient) -> list[Fault]:
    shown = metadata_of(admin, settings, seconds=ADMIN_TIMEOUT_SECONDS).topics
    faults: list[Fault] = []
    for topic in (*topics_of(settings), changelog_of(settings)):
        if topic.name not in shown:
            continue
        copies = min(len(placed.replicas) for placed in shown[topic.name].partitions.values())
        if copies < settings.replication_factor:
            wanted = str(settings.replication_factor)
            faults.append(Fault(topic.name, REPLICATION_FACTOR, str(copies), wanted))
        wanted_configs = {**topic.configs, MIN_INSYNC: str(least_in_sync(copies))}
        seen = _configs(admin, topic.name)
        faults += [
            Fault(topic.name, name, seen[name], wanted)
            for name, wanted in wanted_configs.items()
            if name in seen and seen[name] != wanted
        ]
    return faults


def _configs(admin: AdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    future = admin.describe_configs([resource], request_timeout=ADMIN_TIMEOUT_SECONDS)[resource]
    try:
        return {name: entry.value for name, entry in future.result().items()}
    except KafkaException as error:
        problem, what = error.args[0], f"topic {topic}: its configuration cannot be read"
        raise refused(problem, what, "DESCRIBE_CONFIGS", "topic", topic) from error


def _set(admin: AdminClient, topic: str, faults: list[Fault]) -> None:
    entries = [
        ConfigEntry(fault.setting, fault.wanted, incremental_operation=AlterConfigOpType.SET)
        for fault in faults
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    futures = admin.incremental_alter_configs([resource], request_timeout=ADMIN_TIMEOUT_SECONDS)
    try:
        futures[resource].result()
    except KafkaException as error:
        problem, what = error.args[0], f"topic {topic} could not be changed"
        raise refused(problem, what, "ALTER_CONFIGS", "topic", topic) from error


def _nudge(settings: Settings, admin: AdminClient) -> None:
    """Write a record to the changelog once its brokers know the configs, so that they act on them.

    Kafka checks a segment's age when the next record arrives; a fleet that is left alone writes
    none.
    """
    changelog = changelog_of(settings)
    deadline = time.monotonic() + ADMIN_TIMEOUT_SECONDS
    while changelog.configs.items() - _configs(admin, changelog.name).items():
        if time.monotonic() > deadline:
            raise TransportError(
                f"topic {changelog.name} was changed, but the brokers do not report the change"
            )
        time.sleep(0.05)
    producer = Producer(client_config(settings))
    producer.produce(changelog.name, None, NUDGE_KEY, partition=0)
    if producer.flush(ADMIN_TIMEOUT_SECONDS):
        raise TransportError(f"topic {changelog.name}: Kafka did not accept a record")
