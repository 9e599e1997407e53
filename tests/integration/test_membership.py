"""Workers that come and go: who gets which partitions, and what users notice of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient
from harness.fresh import fresh_settings, publish_model
from harness.waiting import wait_until
from harness.workers import Worker

from registry.settings import Settings
from registry.topics import check_topics, client_config, create_topics, topics_of

Start = Callable[..., Worker]


def shares(settings: Settings) -> Mapping[str, list[int]]:
    """Return each member's request partitions, as the broker knows them; empty while it waits."""
    admin = AdminClient({**client_config(settings), "log_level": 0})
    group = f"{settings.topic_prefix}-{settings.environment}"
    try:
        described = admin.describe_consumer_groups([group])[group].result(10)
    except KafkaException:  # its coordinator is being found
        return {}
    if described.state != ConsumerGroupState.STABLE:
        return {}
    requests = topics_of(settings).requests.name
    return {
        member.member_id: sorted(
            one.partition for one in member.assignment.topic_partitions if one.topic == requests
        )
        for member in described.members
    }


def wait_for_shares(settings: Settings, sizes: list[int]) -> Mapping[str, list[int]]:
    """Return the shares once there is one of each of `sizes`."""
    seen: dict[str, list[int]] = {}

    def shared() -> bool:
        seen.clear()
        seen.update(shares(settings))
        return sorted(map(len, seen.values())) == sizes

    try:
        wait_until(shared, 40, f"shares of {sizes}")
    except AssertionError as error:
        raise AssertionError(f"{error}; seen: {seen}") from None
    assert sorted(number for share in seen.values() for number in share) == list(range(sum(sizes)))
    return seen


def test_a_worker_that_joins_gets_its_share_and_no_other_partition_moves(
    topics_created: Settings, start_worker: Start
) -> None:
    publish_model(topics_created)
    for _ in range(2):
        start_worker(topics_created)
    two = wait_for_shares(topics_created, [2, 2])
    start_worker(topics_created)
    three = wait_for_shares(topics_created, [1, 1, 2])
    assert all(set(three[member]) <= set(share) for member, share in two.items())


@pytest.mark.long
def test_seven_workers_share_eight_partitions(
    kafka: str, tmp_path: Path, start_worker: Start
) -> None:
    settings = fresh_settings(kafka, tmp_path, RECSTREAM_PARTITIONS="8")
    create_topics(settings)
    wait_until(lambda: not check_topics(settings), 15, "the topics to be there")
    publish_model(settings)
    for _ in range(7):
        start_worker(settings)
    wait_for_shares(settings, [1, 1, 1, 1, 1, 1, 2])
