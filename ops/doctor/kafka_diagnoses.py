"""What the doctor asks Kafka: contact, ACLs, topics, and which partitions records are on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from confluent_kafka.admin import AdminClient

from ops.doctor.diagnosis import Diagnosis
from registry.connection.client_config import client_config
from registry.connection.denials import denial
from registry.connection.reachability import metadata_of
from registry.kafka.partitioner import partition_of
from registry.kafka.permission_check import missing_permissions
from registry.kafka.reader import BROKER_SECONDS, QUIET, messages, reading
from registry.kafka.topic_admin import check_topics
from registry.kafka.topic_upkeep import faults_of
from registry.kafka.topics import topics_of
from registry.settings import Settings

SAMPLE: Final = 50
"""Records of each partition whose partition is compared with their key."""

READ_SECONDS: Final = 10.0


def contact(settings: Settings) -> Iterator[Diagnosis]:
    """Say whether Kafka answers."""
    admin = AdminClient(client_config(settings) | QUIET)
    found = metadata_of(admin, settings, seconds=BROKER_SECONDS)
    brokers, needed = len(found.brokers), settings.replication_factor
    seen = f"{brokers} brokers answer on {settings.kafka_bootstrap_servers}"
    if brokers < needed:
        yield Diagnosis(
            "kafka",
            "failed",
            f"{seen}; RECSTREAM_REPLICATION_FACTOR={needed} needs as many",
            "start the missing brokers, or lower the setting before topics are created",
        )
    else:
        yield Diagnosis("kafka", "ok", f"{seen} ({settings.kafka_security_protocol})")


def acls(settings: Settings) -> Iterator[Diagnosis]:
    """Say whether Kafka allows this user what a worker needs."""
    if settings.kafka_security_protocol == "PLAINTEXT":
        yield Diagnosis("acls", "skipped", "connections are not secured, so there are none")
        return
    missing = missing_permissions(settings, "worker")
    for permission in missing:
        name = f"{permission.name}*" if permission.prefixed else permission.name
        yield Diagnosis("acls", "failed", denial(permission.operation, permission.kind, name))
    if not missing:
        yield Diagnosis("acls", "ok", "this user may do all that a worker needs")


def topics(settings: Settings) -> Iterator[Diagnosis]:
    """Say whether the topics are there and as they must be."""
    complaints = dict.fromkeys(check_topics(settings))
    for complaint in complaints:
        yield Diagnosis("topics", "failed", complaint, "recstream topics create")
    faults = [fault for fault in faults_of(settings) if str(fault) not in complaints]
    for fault in faults:
        remedy = "recstream topics mend" if fault.is_mendable else "Kafka's own tools move replicas"
        yield Diagnosis("topics", "warning", str(fault), remedy)
    if not complaints and not faults:
        prefix = settings.topic_prefix
        yield Diagnosis("topics", "ok", f"all topics of prefix {prefix} are as they must be")


def partitioners(settings: Settings) -> Iterator[Diagnosis]:
    """Say whether the latest records are where Java's partitioner puts their keys."""
    known = topics_of(settings)
    for topic in (known.requests, known.interactions):
        with reading(settings, topic, last=SAMPLE) as consumer:
            count = len(consumer.assignment())
            keyed = [
                (message.key() or b"", message.partition())
                for message in messages(consumer, READ_SECONDS, to_end=True)
                if message.key()
            ]
        strays = [key for key, partition in keyed if partition_of(key, count) != partition]
        name = f"{len(keyed)} latest records of {topic.name}"
        if strays:
            yield Diagnosis(
                "partitioners",
                "warning",
                f"{len(strays)} of the {name} are on another partition than murmur2 gives their "
                f"key, such as {strays[0][:50]!r}: a user's requests and interactions may not meet",
                "set partitioner=murmur2_random in the producer; records from before "
                "`recstream topics grow` are no fault",
            )
        else:
            yield Diagnosis("partitioners", "ok", f"the {name} are where murmur2 puts them")
