"""Changing a topic's configuration under running workers."""

from __future__ import annotations

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from harness.waiting import wait_until

from registry.connection.client_config import client_config
from registry.kafka.topics import Topic
from registry.settings import Settings


def configure(settings: Settings, topic: Topic, name: str, wanted: str) -> None:
    """Change one setting of `topic`, and return when the broker goes by it."""
    admin = AdminClient(client_config(settings))
    entry = ConfigEntry(name, wanted, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic.name, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(timeout=10)

    def is_known() -> bool:
        (seen,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic.name)]).values()
        return bool(seen.result(timeout=10)[name].value == wanted)

    wait_until(is_known, 10, f"{name}={wanted} of {topic.name}")
