"""What is said of topics that a fleet should not last with."""

from __future__ import annotations

from harness.cells import each_cell

from registry.kafka.topic_upkeep import REPLICATION_FACTOR, Fault
from registry.kafka.topics import COMPACTED, changelog_of, least_in_sync
from registry.settings import read_settings


@each_cell(("copies", "least"), [(1, 1), (2, 1), (3, 2), (4, 3)])
def test_one_broker_may_be_away_and_a_record_is_in_all_other_copies(
    copies: int, least: int
) -> None:
    assert least_in_sync(copies) == least


def test_a_config_can_be_mended_and_the_number_of_copies_is_for_kafkas_tools() -> None:
    config = Fault("reco.fleet", "min.insync.replicas", "2", "1")
    copies = Fault("reco.fleet", REPLICATION_FACTOR, "1", "3")
    assert str(config) == "topic reco.fleet: min.insync.replicas is 2, 1 is needed"
    assert config.is_mendable
    assert str(copies) == (
        "topic reco.fleet: replication factor is 1, 3 is needed (RECSTREAM_REPLICATION_FACTOR)"
    )
    assert not copies.is_mendable


def test_the_changelog_of_an_environment_is_compacted_within_minutes() -> None:
    changelog = changelog_of(read_settings({"ENVIRONMENT": "staging"}))
    assert (changelog.name, changelog.partitions) == ("reco-staging-rollout-changelog", 1)
    assert changelog.configs == COMPACTED
    assert int(COMPACTED["segment.ms"]) <= int(COMPACTED["max.compaction.lag.ms"]) <= 300_000
