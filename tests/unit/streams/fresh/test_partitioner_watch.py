"""The partitioner watch: it hears the keys of both topics, and names a disagreement once."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from registry.kafka.partitioners import crc32_partition, murmur2_partition
from registry.kafka.topics import topics_of
from registry.settings import Settings
from streams.fresh.partitioner_watch import PartitionerWatch

COUNT = 8


def a_watch(**changes: Any) -> PartitionerWatch:
    settings = Settings(**changes)
    return PartitionerWatch(settings, topics_of(settings), lambda: (COUNT, COUNT))


def records_of(choose: Callable[[bytes, int], int]) -> list[Any]:
    keys = [str(user).encode() for user in range(100)]
    return [SimpleNamespace(key=key, partition=choose(key, COUNT)) for key in keys]


def messages_of(choose: Callable[[bytes, int], int]) -> list[Any]:
    return [
        SimpleNamespace(key=lambda at=record: at.key, partition=lambda at=record: at.partition)
        for record in records_of(choose)
    ]


def hear(watch: PartitionerWatch, requests: Any, interactions: Any) -> PartitionerWatch:
    for _ in range(5):
        watch.note_requests(records_of(requests))
        watch.note_interactions(messages_of(interactions))
    return watch


def test_crc32_beside_murmur2_is_named() -> None:
    notice = hear(a_watch(), murmur2_partition, crc32_partition).notice()

    assert notice is not None
    assert notice.code == "partitioners_differ"
    assert "reco.interactions: CRC32" in notice.message


def test_where_both_agree_nothing_is_said() -> None:
    assert hear(a_watch(), murmur2_partition, murmur2_partition).notice() is None
    assert hear(a_watch(), crc32_partition, crc32_partition).notice() is None


def test_nor_where_every_worker_follows_everything() -> None:
    watch = hear(a_watch(fresh="all"), murmur2_partition, crc32_partition)

    assert watch.notice() is None
    assert hear(a_watch(fresh="all", outcomes="on"), murmur2_partition, crc32_partition).notice()
    assert [seen.partitioner for seen in watch.seen()] == ["murmur2", "crc32"]
