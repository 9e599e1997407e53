"""A changelog that an older release has filled is mended and shrinks; a check says what is off."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from harness.client import Client
from harness.fresh import publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from registry.connection.client_config import client_config
from registry.kafka.topic_admin import create_changelog
from registry.kafka.topic_upkeep import faults_of, mend_topics
from registry.kafka.topics import COMPACTED, changelog_of
from registry.settings import Settings

OLD_RECORDS = 20_000
COMPACTED_SECONDS = 90.0
"""Kafka's cleaner looks every 15 s."""


def aged(settings: Settings) -> None:
    """Make the changelog as the release before did, and write what it did in two hours."""
    create_changelog(settings)
    name = changelog_of(settings).name
    alter(settings, name, AlterConfigOpType.DELETE, set(COMPACTED) - {"cleanup.policy"})
    producer = Producer(client_config(settings))
    row = {"worker": "w1", "environment": "production", "at": 0.0, "arms": [], "url": "x" * 400}
    for number in range(OLD_RECORDS):
        key, value = "lease", {"at": float(number), "last_offset": -1}
        if number % 5:
            key = f"fleet:w{number % 5}@{number % 100}"
            value = row | {"instance": key}
        while True:
            try:
                producer.produce(name, json.dumps(value), json.dumps(key), partition=0)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(30) == 0


def alter(settings: Settings, topic: str, how: Any, names: Iterable[str], value: Any = "") -> None:
    entries = [ConfigEntry(name, value, incremental_operation=how) for name in names]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient(client_config(settings))
    admin.incremental_alter_configs([resource])[resource].result(timeout=10)


def records_of(settings: Settings) -> list[bytes]:
    """Return the keys of all records that the changelog holds."""
    consumer = Consumer(
        client_config(settings) | {"group.id": "test", "enable.partition.eof": True}
    )
    try:
        consumer.assign([TopicPartition(changelog_of(settings).name, 0, 0)])
        found: list[bytes] = []
        while True:
            for message in consumer.consume(10_000, timeout=0.5):
                if message.error() is not None:
                    return found
                found.append(message.key() or b"")
    finally:
        consumer.close()


def test_what_an_older_release_left_in_the_changelog_is_gone_minutes_after_it_was_mended(
    client: Client,
    topics_created: Settings,
    start_worker: Callable[..., Worker],
    figure: Callable[[str], None],
) -> None:
    aged(topics_created)
    assert len(records_of(topics_created)) == OLD_RECORDS
    wait_until(lambda: len(faults_of(topics_created)) == len(COMPACTED) - 1, 10, "five faults")
    mended = mend_topics(topics_created)
    assert {fault.setting for fault in mended} >= {"segment.ms", "min.cleanable.dirty.ratio"}
    wait_until(lambda: not faults_of(topics_created), 10, "nothing to be wrong")
    assert mend_topics(topics_created) == []
    left = wait_until(
        lambda: few(records_of(topics_created)), COMPACTED_SECONDS, "the changelog to be compacted"
    )
    figure(f"{OLD_RECORDS:,} records of the release before became {len(left)}")
    publish_model(topics_created)
    worker = start_worker(topics_created.model_copy(update={"model_version": "v0.1"})).wait_ready()
    wait_until(lambda: last_rows(topics_created) == set(), 30, "the old rows to be removed")
    assert worker.get("/rollout/status")["acting_epoch"] is not None


def few(keys: list[bytes]) -> list[bytes] | None:
    return keys if len(keys) < OLD_RECORDS / 50 else None


def last_rows(settings: Settings) -> set[Any]:
    """Return the keys of fleet rows whose last record in the changelog is not their removal."""
    consumer = Consumer(
        client_config(settings) | {"group.id": "test", "enable.partition.eof": True}
    )
    rows: dict[bytes, bool] = {}
    try:
        consumer.assign([TopicPartition(changelog_of(settings).name, 0, 0)])
        while True:
            for message in consumer.consume(10_000, timeout=0.5):
                if message.error() is not None:
                    return {key for key, is_there in rows.items() if is_there}
                if (message.key() or b"").startswith(b'"fleet:'):
                    rows[message.key() or b""] = message.value() is not None
    finally:
        consumer.close()


def test_a_topic_whose_copies_may_be_too_few_is_found_and_mended(topics_created: Settings) -> None:
    name = f"{topics_created.topic_prefix}.requests"
    alter(topics_created, name, AlterConfigOpType.SET, ["min.insync.replicas"], "2")
    complaint = f"topic {name}: min.insync.replicas is 2, 1 is needed"
    wait_until(lambda: list(map(str, faults_of(topics_created))) == [complaint], 10, complaint)
    assert [fault.topic for fault in mend_topics(topics_created)] == [name]
    wait_until(lambda: not faults_of(topics_created), 10, "nothing to be wrong")


def test_too_few_copies_are_named_and_left_to_kafkas_tools(topics_created: Settings) -> None:
    wanted = topics_created.model_copy(update={"replication_factor": 3})
    found = faults_of(wanted)
    assert {fault.is_mendable for fault in found} == {False}
    assert {fault.setting for fault in found} == {"replication factor"}
    assert "replication factor is 1, 3 is needed (RECSTREAM_REPLICATION_FACTOR)" in str(found[0])
    assert mend_topics(wanted) == []
