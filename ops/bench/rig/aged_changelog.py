"""Rollout changelogs as fleets of some age leave them, for ``bench membership``.

Knows what this release and the one before write there. Must not know what is measured on them.
"""

from __future__ import annotations

import json
import time
from typing import Final

from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from registry.connection.client_config import client_config
from registry.errors import TransportError
from registry.kafka.topic_reader import connected, messages, only_partition
from registry.kafka.topic_upkeep import mend_topics
from registry.kafka.topics import COMPACTED, changelog_of
from registry.rollout.command_log import ControlLog
from registry.settings import Settings
from registry.wire.codec import encode

LOG_KEY: Final = b'"log"'
OLD_INSTANCES: Final = 100
"""How often the workers of the old release were restarted: a heartbeat's key names the instance."""

COMPACTION_SECONDS: Final = 600.0
LOOK_SECONDS: Final = 1.0
FEW: Final = 5_000
"""Records, of which a bare consumer reads more in a second."""


def write_log_records(settings: Settings, records: int) -> None:
    """Write what `records` commands leave in this release's changelog, the state unchanged."""
    name = changelog_of(settings).name
    log = _latest(settings)[LOG_KEY] or encode(ControlLog(-1))
    producer = Producer(client_config(settings) | {"linger.ms": 5})
    for _ in range(records):
        producer.produce(name, log, LOG_KEY)
    _flush(producer, name)


def leave_old_records(settings: Settings, records: int) -> None:
    """Make the changelog as the previous release did, and write its heartbeats and leases.

    That release wrote 2.5 records a second with two workers, and left Kafka's defaults for a topic
    of Faust's: its newest segment, of up to 1 GiB or 7 days, is not compacted.
    """
    name = changelog_of(settings).name
    _restore_defaults(settings, name)
    producer = Producer(
        client_config(settings) | {"linger.ms": 50, "queue.buffering.max.messages": 500_000}
    )
    values = [
        json.dumps({"instance": f"w@{number}", "at": 0.0, "arms": [], "url": "x" * 400}).encode()
        for number in range(OLD_INSTANCES)
    ]
    lease = json.dumps({"at": 0.0, "last_offset": -1}).encode()
    for number in range(records):
        instance = number % OLD_INSTANCES
        key, value = f'"fleet:w@{instance}"'.encode(), values[instance]
        if number % 5 == 0:
            key, value = b'"lease"', lease
        while True:
            try:
                producer.produce(name, value, key, partition=0)
                break
            except BufferError:
                producer.poll(0.1)
    _flush(producer, name)


def mend(settings: Settings) -> tuple[int, float]:
    """Do ``recstream topics mend``; return how many records are left, and after how many seconds.

    Raises
    ------
    TransportError
        If Kafka has not compacted them after ten minutes.
    """
    began = time.monotonic()
    mend_topics(settings)
    while time.monotonic() - began < COMPACTION_SECONDS:
        left = _count(settings, FEW)
        if left < FEW:
            return left, time.monotonic() - began
        time.sleep(LOOK_SECONDS)
    raise TransportError(f"{changelog_of(settings).name} still holds {FEW} records or more")


def _latest(settings: Settings) -> dict[bytes | None, bytes | None]:
    with connected(settings) as consumer:
        partition, low, _ = only_partition(settings, consumer, changelog_of(settings))
        partition.offset = low
        consumer.assign([partition])
        return {row.key(): row.value() for row in messages(consumer, 10, to_end=True)}


def _count(settings: Settings, most: int) -> int:
    """Count the records that are there, as far as `most`."""
    with connected(settings) as consumer:
        partition, low, _ = only_partition(settings, consumer, changelog_of(settings))
        partition.offset = low
        consumer.assign([partition])
        return sum(1 for _ in zip(range(most), messages(consumer, 10, to_end=True), strict=False))


def _restore_defaults(settings: Settings, name: str) -> None:
    entries = [
        ConfigEntry(setting, "", incremental_operation=AlterConfigOpType.DELETE)
        for setting in set(COMPACTED) - {"cleanup.policy"}
    ]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    admin = AdminClient(client_config(settings))
    admin.incremental_alter_configs([resource])[resource].result(timeout=10)


def _flush(producer: Producer, name: str) -> None:
    if producer.flush(60):
        raise TransportError(f"topic {name}: Kafka did not take all records")
