"""What has become of the topics, look after look."""

from __future__ import annotations

from registry.kafka.broker_topics import SeenTopic
from streams.watch.topic_changes import TopicChanges

NEEDED = frozenset({"requests", "control"})
BOTH = {"requests": SeenTopic("r1", 4), "control": SeenTopic("c1", 1)}


def test_nothing_is_said_before_the_first_look() -> None:
    changes = TopicChanges(NEEDED)
    assert changes.reason() is None
    assert changes.partitions == {}


def test_the_first_look_finds_nothing_made_again() -> None:
    changes = TopicChanges(NEEDED)
    assert changes.look(BOTH) == frozenset()
    assert changes.reason() is None
    assert changes.partitions == {"requests": 4, "control": 1}


def test_missing_topics_are_named_until_they_are_there() -> None:
    changes = TopicChanges(NEEDED)
    changes.look({"control": BOTH["control"]})
    reason = changes.reason()
    assert reason is not None
    assert (reason.code, "requests; " in reason.message) == ("topic_missing", True)
    changes.look(BOTH)
    assert changes.reason() is None


def test_a_topic_of_another_id_was_made_again_once() -> None:
    changes = TopicChanges(NEEDED)
    changes.look(BOTH)
    again = BOTH | {"requests": SeenTopic("r2", 4)}
    assert changes.look(again) == {"requests"}
    assert changes.look(again) == frozenset()


def test_one_that_was_missing_meanwhile_was_made_again_too() -> None:
    changes = TopicChanges(NEEDED)
    changes.look(BOTH)
    changes.look({"control": BOTH["control"]})
    assert changes.look(BOTH | {"requests": SeenTopic("r2", 4)}) == {"requests"}


def test_more_partitions_do_not_make_another_topic() -> None:
    changes = TopicChanges(NEEDED)
    changes.look(BOTH)
    assert changes.look(BOTH | {"requests": SeenTopic("r1", 6)}) == frozenset()


def test_a_broker_without_ids_shows_nothing_made_again() -> None:
    changes = TopicChanges(NEEDED)
    without = {name: SeenTopic(None, seen.partitions) for name, seen in BOTH.items()}
    assert changes.look(without) == frozenset()
    assert changes.look(without) == frozenset()
