"""Topics on a real broker: created once, and checked for what PRODUCT.md §2 says of each."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from confluent_kafka import Uuid
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic
from harness.doctor_findings import doctor_findings
from harness.fresh import environment_of, fresh_settings
from harness.waiting import wait_until
from typer.testing import CliRunner

from ops.cli.main import app
from registry.connection.client_config import client_config
from registry.errors import ConfigurationError, TransportError
from registry.kafka import partitioner_look
from registry.kafka.broker_topics import seen_topics
from registry.kafka.partition_growth import grow_topics
from registry.kafka.topic_admin import check_topics, create_topics, require_topics
from registry.kafka.topics import changelog_of, topics_of
from registry.settings import Settings


@pytest.fixture(params=["kafka", "embedded"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    return fresh_settings(request.getfixturevalue(request.param), tmp_path)


def test_creating_topics_twice_creates_them_once(fresh: Settings) -> None:
    names = {topic.name for topic in topics_of(fresh)} | {changelog_of(fresh).name}

    assert set(create_topics(fresh)) == names
    assert create_topics(fresh) == []
    wait_until(lambda: not check_topics(fresh), 60, "nothing to be wrong")


def test_missing_topics_are_named_with_the_command_that_makes_them(fresh: Settings) -> None:
    complaints = check_topics(fresh)

    assert len(complaints) == len(list(topics_of(fresh)))
    assert all(
        "was not found; run `recstream topics create`" in complaint for complaint in complaints
    )
    with pytest.raises(ConfigurationError, match=r"\.requests was not found"):
        require_topics(fresh)


def test_a_look_at_records_that_fails_is_no_sign_that_all_topics_are_correct(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 60, "nothing to be wrong")
    environment = environment_of(settings)
    assert CliRunner().invoke(app, ["topics", "check"], env=environment).exit_code == 0

    monkeypatch.setattr(partitioner_look, "LOOK_SECONDS", 0.0)
    done = CliRunner().invoke(app, ["topics", "check"], env=environment)

    assert isinstance(done.exception, TransportError), done.output
    assert "timed out" in str(done.exception)
    assert "all topics are correct" not in done.output


def test_the_topics_own_number_of_partitions_counts_not_the_setting(fresh: Settings) -> None:
    create_topics(fresh)
    wait_until(lambda: not check_topics(fresh), 60, "nothing to be wrong")

    assert check_topics(fresh.model_copy(update={"partitions": fresh.partitions + 1})) == []


def test_a_training_set_that_would_expire_is_found(settings: Settings) -> None:
    topic = topics_of(settings).interactions
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 60, "nothing to be wrong")
    _set_config(settings, topic.name, "retention.ms", "3600000")

    complaints = wait_until(lambda: check_topics(settings), 60, "the wrong retention to be found")
    assert complaints == [f"topic {topic.name}: retention.ms is 3600000, -1 is needed"]
    assert f"failed: {complaints[0]} recstream topics mend" in doctor_findings(settings)["topics"]


def test_topics_are_never_made_by_asking_for_them(settings: Settings) -> None:
    admin = AdminClient(client_config(settings))
    admin.list_topics(topics_of(settings).control.name, timeout=10)

    assert topics_of(settings).control.name not in admin.list_topics(timeout=10).topics


def test_a_topic_that_exists_is_left_as_it_is(settings: Settings) -> None:
    admin = AdminClient(client_config(settings))
    name = topics_of(settings).requests.name
    admin.create_topics([NewTopic(name, 1)])[name].result(timeout=10)

    assert name not in create_topics(settings)
    complaint = wait_until(lambda: check_topics(settings), 60, "a complaint")[0]
    assert f"topic {name} has 1 partitions" in complaint
    assert "`recstream topics grow 4` makes them equal" in complaint
    assert complaint in doctor_findings(settings)["topics"]


def test_a_broker_that_refuses_is_a_transport_error(settings: Settings) -> None:
    too_many_copies = settings.model_copy(update={"replication_factor": 2})

    with pytest.raises(TransportError, match="could not be created"):
        create_topics(too_many_copies)
    found = doctor_findings(too_many_copies)
    assert "1 brokers answer" in found["kafka"]
    assert "RECSTREAM_REPLICATION_FACTOR=2 needs as many" in found["kafka"]


def _set_config(settings: Settings, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient(client_config(settings))
    admin.incremental_alter_configs([resource])[resource].result(timeout=10)


def test_a_topic_that_is_made_again_has_another_id(fresh: Settings) -> None:
    create_topics(fresh)
    admin, name = AdminClient(client_config(fresh)), topics_of(fresh).control.name
    wait_until(lambda: name in seen_topics(admin, [name]), 60, "the topic to be seen")
    before = seen_topics(admin, [name, "not-there"])
    admin.delete_topics([name])[name].result(10)
    wait_until(lambda: not seen_topics(admin, [name]), 60, "it to go")
    wait_until(lambda: name in create_topics(fresh), 60, "it to be recreated")

    after = wait_until(lambda: seen_topics(admin, [name]), 60, "it to be seen again")
    assert list(before) == [name]
    assert None not in (before[name].topic_id, after[name].topic_id)
    assert before[name].topic_id != after[name].topic_id


def test_the_embedded_broker_says_that_it_cannot_grow_topics(embedded: str, tmp_path: Path) -> None:
    settings = fresh_settings(embedded, tmp_path)
    create_topics(settings)

    with pytest.raises(TransportError, match=r"did not grow: .*not supported"):
        grow_topics(settings, settings.partitions + 1)


def test_looking_at_topics_again_and_again_keeps_no_memory(settings: Settings) -> None:
    names = create_topics(settings)
    admin = AdminClient(client_config(settings))

    def ids_in_memory() -> int:
        return sum(isinstance(found, Uuid) for found in gc.get_objects())

    before = ids_in_memory()
    for _ in range(20):
        assert seen_topics(admin, names).keys() == set(names)

    assert ids_in_memory() - before < len(names) + 1


def test_an_optional_topic_may_be_missing_but_not_be_wrong(settings: Settings) -> None:
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 60, "nothing to be wrong")
    admin = AdminClient(client_config(settings))
    items = topics_of(settings).items.name
    admin.delete_topics([items])[items].result()
    wait_until(lambda: not seen_topics(admin, [items]), 60, "it to go")
    require_topics(settings)

    admin.create_topics([NewTopic(items, 3, 1)])[items].result()
    wait_until(lambda: bool(seen_topics(admin, [items])), 60, "another one of its name")

    with pytest.raises(ConfigurationError, match=rf"{items}.* 3 partitions"):
        require_topics(settings)
