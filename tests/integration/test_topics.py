"""Topics on a real broker: created once, and checked for what PRODUCT.md §2 says of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic
from harness.fresh import fresh_settings
from harness.waiting import wait_until

from registry.errors import ConfigurationError, TransportError
from registry.settings import Settings
from registry.topics import (
    check_topics,
    client_config,
    create_topics,
    require_topics,
    topics_of,
)


@pytest.fixture(params=["kafka", "embedded"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    return fresh_settings(request.getfixturevalue(request.param), tmp_path)


def test_creating_topics_twice_creates_them_once(fresh: Settings) -> None:
    names = {topic.name for topic in topics_of(fresh)}

    assert set(create_topics(fresh)) == names
    assert create_topics(fresh) == []
    wait_until(lambda: not check_topics(fresh), 10, "nothing to be wrong")


def test_missing_topics_are_named_with_the_command_that_makes_them(fresh: Settings) -> None:
    complaints = check_topics(fresh)

    assert len(complaints) == len(list(topics_of(fresh)))
    assert all("is missing; `recstream topics create` makes it" in one for one in complaints)
    with pytest.raises(ConfigurationError, match=r"\.requests is missing"):
        require_topics(fresh)


def test_a_wrong_partition_count_is_found(fresh: Settings) -> None:
    create_topics(fresh)
    wait_until(lambda: not check_topics(fresh), 10, "nothing to be wrong")
    other = fresh.model_copy(update={"partitions": fresh.partitions + 1})

    complaints = check_topics(other)

    assert len(complaints) == 4  # requests, responses, interactions, shadow
    assert "has 4 partitions, 5 are needed (RECSTREAM_PARTITIONS)" in complaints[0]


def test_a_training_set_that_would_expire_is_found(settings: Settings) -> None:
    topic = topics_of(settings).interactions
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 10, "nothing to be wrong")
    _set_config(settings, topic.name, "retention.ms", "3600000")

    complaints = wait_until(lambda: check_topics(settings), 10, "the wrong retention to be found")
    assert complaints == [f"topic {topic.name}: retention.ms is 3600000, -1 is needed"]


def test_topics_are_never_made_by_asking_for_them(settings: Settings) -> None:
    admin = AdminClient(client_config(settings))
    admin.list_topics(topics_of(settings).control.name, timeout=10)

    assert topics_of(settings).control.name not in admin.list_topics(timeout=10).topics


def test_a_topic_that_exists_is_left_as_it_is(settings: Settings) -> None:
    admin = AdminClient(client_config(settings))
    name = topics_of(settings).requests.name
    admin.create_topics([NewTopic(name, 1)])[name].result(timeout=10)

    assert name not in create_topics(settings)
    complaint = f"topic {name} has 1 partitions, 4 are needed (RECSTREAM_PARTITIONS)"
    wait_until(lambda: complaint in check_topics(settings), 10, "that complaint")


def test_a_broker_that_refuses_is_a_transport_error(settings: Settings) -> None:
    too_many_copies = settings.model_copy(update={"replication_factor": 2})

    with pytest.raises(TransportError, match="could not be created"):
        create_topics(too_many_copies)


def _set_config(settings: Settings, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient(client_config(settings))
    admin.incremental_alter_configs([resource])[resource].result(timeout=10)
