"""What the doctor asks Kafka: contact, ACLs, topics, and which partitions records are on."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka.admin import AdminClient

from ops.doctor.diagnosis import Diagnosis
from registry.connection.acl_denials import denial
from registry.connection.client_config import client_config
from registry.connection.reachability import metadata_of
from registry.kafka.partitioner_look import look_at_partitioner
from registry.kafka.partitioners import disagreement
from registry.kafka.permission_check import missing_permissions
from registry.kafka.topic_admin import check_topics
from registry.kafka.topic_reader import BROKER_SECONDS, QUIET
from registry.kafka.topic_upkeep import faults_of
from registry.kafka.topics import topics_of
from registry.settings import Settings


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
    faults = {str(fault): fault for fault in faults_of(settings)}
    complaints = dict.fromkeys(check_topics(settings))
    for detail in complaints | faults:
        fault = faults.get(detail)
        if fault is None:
            remedy = ""  # the complaint says it
        elif fault.is_mendable:
            remedy = "recstream topics mend"
        else:
            remedy = "Kafka's own tools move replicas"
        yield Diagnosis("topics", "failed" if detail in complaints else "warning", detail, remedy)
    if not complaints and not faults:
        prefix = settings.topic_prefix
        yield Diagnosis("topics", "ok", f"all topics of prefix {prefix} are as they must be")


def partitioners(settings: Settings) -> Iterator[Diagnosis]:
    """Say whether a user's requests and interactions meet on one worker."""
    known = topics_of(settings)
    requests = look_at_partitioner(settings, known.requests)
    interactions = look_at_partitioner(settings, known.interactions)
    wrong = disagreement(requests, interactions, fresh=settings.fresh, outcomes=settings.outcomes)
    if wrong is not None:
        yield Diagnosis(
            "partitioners",
            "warning",
            wrong,
            "set partitioner=murmur2_random in both producers; the latest records are looked at",
        )
    else:
        yield Diagnosis("partitioners", "ok", f"{requests}; {interactions}")
