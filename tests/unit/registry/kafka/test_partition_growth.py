"""Which topics belong together, and which of them have to grow."""

from __future__ import annotations

import pytest

from registry.errors import RefusedCommand
from registry.kafka.partition_growth import topics_to_grow
from registry.kafka.topics import mismatches, topics_of
from registry.settings import read_settings

TOPICS = topics_of(read_settings({}))
EIGHT = {f"reco.{name}": 8 for name in ("requests", "responses", "interactions", "shadow")}


def test_requests_grow_last_so_that_each_answer_has_a_partition_to_go_to() -> None:
    grown = topics_to_grow(TOPICS, EIGHT, 12)
    assert [topic.name for topic in grown] == [
        "reco.responses",
        "reco.shadow",
        "reco.interactions",
        "reco.requests",
    ]


def test_the_outcomes_grow_with_the_others_where_there_are_any() -> None:
    grown = topics_to_grow(TOPICS, EIGHT | {"reco.outcomes": 8}, 12)
    assert [topic.name for topic in grown][2:] == [
        "reco.outcomes",
        "reco.interactions",
        "reco.requests",
    ]


def test_what_has_grown_before_is_left_alone() -> None:
    half = EIGHT | {"reco.responses": 12, "reco.shadow": 12}
    assert [topic.name for topic in topics_to_grow(TOPICS, half, 12)] == [
        "reco.interactions",
        "reco.requests",
    ]
    assert topics_to_grow(TOPICS, EIGHT, 8) == []


def test_shrinking_is_refused_with_what_was_seen() -> None:
    with pytest.raises(RefusedCommand, match=r"reco\.shadow has 12 partitions, more than 10"):
        topics_to_grow(TOPICS, EIGHT | {"reco.shadow": 12}, 10)


def test_a_topic_that_is_missing_is_named() -> None:
    some = {name: many for name, many in EIGHT.items() if name != "reco.interactions"}
    with pytest.raises(RefusedCommand, match=r"reco\.interactions was not found"):
        topics_to_grow(TOPICS, some, 12)


def test_topics_that_differ_are_named_with_the_command_that_makes_them_equal() -> None:
    assert mismatches(TOPICS, EIGHT) == []
    assert mismatches(TOPICS, {}) == []
    (sentence,) = mismatches(TOPICS, {**dict.fromkeys(EIGHT, 12), "reco.responses": 8})
    assert "reco.responses has 8 partitions" in sentence
    assert "`recstream topics grow 12`" in sentence
    assert len(mismatches(TOPICS, EIGHT | {"reco.requests": 12})) == 3
