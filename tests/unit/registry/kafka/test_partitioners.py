"""Partitioners: as Kafka's Java and librdkafka choose, and told apart by what they chose."""

from __future__ import annotations

from collections.abc import Callable

from aiokafka.partitioner import murmur2
from harness.cells import each_cell

from registry.kafka.partitioners import (
    LEAST_RECORDS,
    PartitionerSeen,
    PartitionerTally,
    crc32_partition,
    disagreement,
    murmur2_partition,
)

Choose = Callable[[bytes, int], int]


@each_cell(
    ("key", "hashed"),  # org.apache.kafka.common.utils.UtilsTest
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_that_of_kafkas_java(key: bytes, hashed: int) -> None:
    assert (murmur2(key) ^ 0x80000000) - 0x80000000 == hashed
    assert murmur2_partition(key, 7) == (hashed & 0x7FFFFFFF) % 7


def seen_of(choose: Choose, records: int = 500, partitions: int = 8) -> PartitionerSeen:
    tally = PartitionerTally("reco.requests")
    for user in range(records):
        key = str(user).encode()
        tally.note(key, choose(key, partitions), partitions)
    return tally.seen()


def test_each_partitioner_is_recognised_by_its_choices() -> None:
    assert seen_of(murmur2_partition)[1:3] == ("murmur2", 1.0)
    assert seen_of(crc32_partition)[1:3] == ("crc32", 1.0)
    assert seen_of(lambda key, partitions: int(key) % partitions).partitioner == "other"


def test_too_few_records_say_nothing() -> None:
    assert seen_of(murmur2_partition, LEAST_RECORDS - 1).partitioner is None
    assert seen_of(murmur2_partition, LEAST_RECORDS).partitioner == "murmur2"


def test_nor_does_the_only_partition_or_a_record_without_a_key() -> None:
    assert seen_of(murmur2_partition, partitions=1).records == 0
    tally = PartitionerTally("t")
    tally.note(None, 0, 8)
    assert tally.seen().records == 0


def test_a_producer_that_was_mended_shows() -> None:
    tally = PartitionerTally("t")
    for number, choose in ((100, crc32_partition), (12_000, murmur2_partition)):
        for user in range(number):
            key = str(user).encode()
            tally.note(key, choose(key, 8), 8)
    assert tally.seen().partitioner == "murmur2"


def test_where_the_two_topics_disagree_both_are_named_and_what_to_set() -> None:
    requests, interactions = seen_of(crc32_partition), seen_of(murmur2_partition)

    interactions = interactions._replace(topic="reco.interactions")

    found = disagreement(requests, interactions, fresh="partition", outcomes="off")

    assert found is not None
    assert "reco.requests: CRC32" in found
    assert "reco.interactions: murmur2" in found
    assert "murmur2_random" in found
    assert "RECSTREAM_FRESH=all" in found
    for agreeing in (requests, seen_of(murmur2_partition, 3)):
        assert disagreement(requests, agreeing, fresh="partition", outcomes="on") is None


def test_outcomes_need_both_topics_to_agree_whatever_is_fresh() -> None:
    requests, interactions = seen_of(crc32_partition), seen_of(murmur2_partition)
    for fresh in ("all", "off", "partition"):
        without = disagreement(requests, interactions, fresh=fresh, outcomes="off")
        joined = disagreement(requests, interactions, fresh=fresh, outcomes="on")

        assert (without is not None) == (fresh == "partition")
        assert joined is not None
        assert "outcomes are missing, whatever RECSTREAM_FRESH is" in joined
