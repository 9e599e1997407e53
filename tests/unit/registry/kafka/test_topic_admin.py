"""The topics' names, partition counts and configs, and what every client needs."""

from __future__ import annotations

from registry.kafka.topics import topics_of
from registry.settings import read_settings

DAY_MS = "86400000"


def test_topics_keyed_by_user_have_the_partitions_of_the_settings() -> None:
    topics = topics_of(read_settings({"RECSTREAM_PARTITIONS": "3"}))
    assert {topic.name: topic.partitions for topic in topics} == {
        "reco.requests": 3,
        "reco.responses": 3,
        "reco.interactions": 3,
        "reco.control": 1,
        "reco.control-results": 1,
        "reco.shadow": 3,
        "reco.dead-letter": 1,
        "reco.fleet": 1,
        "reco.items": 1,
        "reco.outcomes": 3,
        "reco.new-items": 2,
    }


def test_the_prefix_is_that_of_the_settings() -> None:
    topics = topics_of(read_settings({"RECSTREAM_TOPIC_PREFIX": "test-7"}))
    assert all(topic.name.startswith("test-7.") for topic in topics)


def test_environments_may_share_the_control_topics_and_nothing_else() -> None:
    shared = {"RECSTREAM_CONTROL_PREFIX": "all"}
    topics = [
        topics_of(read_settings({"RECSTREAM_TOPIC_PREFIX": prefix} | shared))
        for prefix in ("eu", "us")
    ]
    names = [{topic.name for topic in some} for some in topics]
    assert names[0] & names[1] == {"all.control", "all.control-results"}
    assert all(len(some) == 11 for some in names)


def test_each_topic_keeps_its_records_as_long_as_the_contract_says() -> None:
    settings = read_settings({})
    compacted = topics_of(settings).items, topics_of(settings).new_items
    topics = [topic for topic in topics_of(settings) if topic not in compacted]
    assert [topic.configs["cleanup.policy"] for topic in compacted] == ["compact"] * 2
    assert {topic.name: topic.configs["retention.ms"] for topic in topics} == {
        "reco.requests": DAY_MS,
        "reco.responses": DAY_MS,
        "reco.interactions": "-1",
        "reco.control": "-1",
        "reco.control-results": "-1",
        "reco.shadow": DAY_MS,
        "reco.dead-letter": str(7 * int(DAY_MS)),
        "reco.fleet": "3600000",
        "reco.outcomes": str(7 * int(DAY_MS)),
    }
    assert all(topic.configs["cleanup.policy"] == "delete" for topic in topics)


def test_ramps_go_by_the_brokers_clock_and_answers_by_their_senders() -> None:
    stamped = {
        topic.name
        for topic in topics_of(read_settings({}))
        if topic.configs.get("message.timestamp.type") == "LogAppendTime"
    }
    assert stamped == {"reco.control", "reco.fleet"}


def test_a_dead_letter_may_be_larger_than_any_record_of_a_default_topic() -> None:
    dead_letter = topics_of(read_settings({})).dead_letter
    assert int(dead_letter.configs["max.message.bytes"]) > 1_048_588


def test_every_topic_says_what_it_is_for() -> None:
    assert all(topic.what for topic in topics_of(read_settings({})))
